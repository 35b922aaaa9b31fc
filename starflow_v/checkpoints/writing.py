"""Safetensors written tensor by tensor, in files of limited size.

The format (github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the
header (name -> dtype, shape, place), then the tensors. Since the header needs shapes alone, a file
of any size is written with one tensor in memory. Several files are listed in an index, as diffusers
and transformers read it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""PyTorch's types and their names in the format."""

Layout = Mapping[str, Tensor]
"""Name in the file -> shape and dtype in the file, as a tensor on meta."""

Reader = Callable[[Sequence[str]], Iterator[Tensor]]
"""The tensors of these names, in this order, in whatever dtype they have."""


def write_weights(folder: Path, stem: str, layout: Layout, read: Reader, *, limit: int) -> int:
    """Write tensors as `stem.safetensors`, or as numbered files and an index.

    Args:
        folder: where to; it is made if need be.
        stem: "diffusion_pytorch_model" for diffusers' models, "model" for transformers'.
        layout: what is written; its dtypes are those of the files.
        read: gives the tensors.
        limit: bytes of tensors in one file (a single larger tensor has a file of its own).

    Returns:
        How many files of tensors there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(layout, limit))
    if len(shards) == 1:
        _write_file(folder / f"{stem}.safetensors", layout, shards[0], read)
        return 1
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(folder / file, layout, names, read)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total_bytes(layout)}, "weight_map": weight_map}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")
    return len(shards)


def total_bytes(layout: Layout) -> int:
    """Bytes of all tensors."""
    return sum(tensor.nbytes for tensor in layout.values())


def _shards(layout: Layout, limit: int) -> Iterator[list[str]]:
    """Names in groups of at most `limit` bytes, in their order."""
    names: list[str] = []
    size = 0
    for name, tensor in layout.items():
        if names and size + tensor.nbytes > limit:
            yield names
            names, size = [], 0
        names.append(name)
        size += tensor.nbytes
    yield names


def _write_file(path: Path, layout: Layout, names: Sequence[str], read: Reader) -> None:
    """One file. Wide types come first, so that every tensor begins at a multiple of its type."""
    ordered = sorted(names, key=lambda name: -layout[name].element_size())
    with path.open("wb") as file:
        file.write(_header(layout, ordered))
        for name, tensor in zip(ordered, read(ordered), strict=True):
            file.write(_as_bytes(name, tensor, layout[name]).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def _header(layout: Layout, names: Sequence[str]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        tensor = layout[name]
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _as_bytes(name: str, tensor: Tensor, wanted: Tensor) -> Tensor:
    """A tensor in the wanted dtype, as a flat tensor of bytes."""
    assert tensor.shape == wanted.shape, "the shapes were checked before"
    converted = tensor.to(wanted.dtype)
    if converted.dtype.is_floating_point and not torch.isfinite(converted).all():
        raise ValueError(
            f"{name} holds numbers that are not finite, or too large for {wanted.dtype}: "
            "check the checkpoint, or choose another dtype (bfloat16 has the range of float32)"
        )
    return converted.contiguous().reshape(-1).view(torch.uint8)
