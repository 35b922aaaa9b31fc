"""Named tensors in files of any size, none of them in memory before it is asked for.

Whatever the layout (a pickle of PyTorch, safetensors, a distributed checkpoint), reading is the
same: names and shapes first, as tensors on meta; then the tensors themselves, one after the other.
Files are mapped into memory, and mapped anew every `REMAP` bytes, so that pages that have been read
are given back.

A pickle is a program. Only what PyTorch's restricted unpickler knows (tensors and plain containers)
is ever loaded, and there is no switch to turn that off.
"""

from __future__ import annotations

import pickle
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from starflow_v.checkpoints.writing import DTYPES

REMAP = 512 * 1024**2
"""Bytes that are read before a file is mapped anew."""


class TensorSource(ABC):
    """Tensors on the disk by their names."""

    tensors: Mapping[str, Tensor]
    """Name -> shape and dtype, as a tensor on meta."""

    @abstractmethod
    def read(self, names: Sequence[str]) -> Iterator[Tensor]:
        """The tensors of these names, in this order. Each is valid until the next one is asked
        for."""


class PickleSource(TensorSource):
    """A file of `torch.save`: a dictionary of tensors, or dictionaries inside it (`a.b.c`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors = {name: tensor.to("meta") for name, tensor in self._map().items()}
        if not self.tensors:
            raise ValueError(f"{path} holds no tensors; expected a model's state dict")

    def read(self, names: Sequence[str]) -> Iterator[Tensor]:
        for group in _by_size(names, self.tensors):
            mapped = self._map()
            for name in group:
                yield mapped[name]

    def _map(self) -> dict[str, Tensor]:
        return dict(_flat(_load_mapped(self.path)))


class SafetensorsSource(TensorSource):
    """One or several files of safetensors."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._file_of: dict[str, Path] = {}
        self.tensors = {}
        for file in files:
            for name, tensor in _safetensors_header(file).items():
                self._file_of[name] = file
                self.tensors[name] = tensor

    def read(self, names: Sequence[str]) -> Iterator[Tensor]:
        for name in names:
            with safe_open(self._file_of[name], framework="pt") as opened:
                yield opened.get_tensor(name)


class Renamed(TensorSource):
    """Some of a source's tensors, by other names."""

    def __init__(self, source: TensorSource, names: Mapping[str, str]) -> None:
        """`names`: new name -> name in `source`."""
        self.source, self.names = source, names
        self.tensors = {new: source.tensors[old] for new, old in names.items()}

    def read(self, names: Sequence[str]) -> Iterator[Tensor]:
        return self.source.read([self.names[name] for name in names])


def _by_size(names: Sequence[str], tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """The names in groups of at most `REMAP` bytes (or of a single larger tensor)."""
    group: list[str] = []
    size = 0
    for name in names:
        nbytes = tensors[name].nbytes
        if group and size + nbytes > REMAP:
            yield group
            group, size = [], 0
        group.append(name)
        size += nbytes
    if group:
        yield group


def _flat(content: object, prefix: str = "") -> Iterable[tuple[str, Tensor]]:
    """The tensors in dictionaries inside dictionaries; what is no tensor has no weights."""
    if isinstance(content, Tensor):
        yield prefix, content.detach()
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def _load_mapped(path: Path) -> object:
    """The content of a pickle, its tensors mapped from the file; code in it is never run."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} {_what_it_is(path)}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it holds more than tensors, and nothing of it was run "
            f"({_refused_object(error)}). Expected a state dict, as torch.save(model.state_dict()) "
            "writes it"
        ) from None
    except (RuntimeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is a zip file, but no checkpoint of PyTorch, or a damaged one: "
            f"{_first_line(error)}"
        ) from None


def _what_it_is(path: Path) -> str:
    """Why a file that is no whole zip is refused."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"PK":
        return "is cut off: the end of the file is missing; download or copy it again"
    if start[:1] == b"\x80":
        return (
            "is a bare pickle, which could hold any program: nothing of it was run. Expected a "
            "file of torch.save (PyTorch 1.6 or later) or .safetensors"
        )
    return "is no checkpoint: expected a file of torch.save, .safetensors, or a folder of shards"


def _refused_object(error: pickle.UnpicklingError) -> str:
    """What the unpickler stumbled over, without its advice to load the file all the same."""
    for line in str(error).splitlines():
        if "GLOBAL" in line or "Unsupported" in line:
            return line.strip().split(" was not an allowed")[0].removeprefix("WeightsUnpickler ")
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _safetensors_header(file: Path) -> dict[str, Tensor]:
    dtypes = {name: dtype for dtype, name in DTYPES.items()}
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {
                name: torch.empty(it.get_shape(), dtype=dtypes[it.get_dtype()], device="meta")
                for name, it in slices.items()
            }
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{file} cannot be read as safetensors: {error}") from None
