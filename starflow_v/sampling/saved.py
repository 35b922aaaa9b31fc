"""Clean latents on the disk before they are decoded, so that a failure there loses nothing.

A file of safetensors, with the frames first, (T, B, c, h, w) in float32, so that it can be written
frame by frame: its header tells how many there will be, and what a broken run leaves is shorter.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

KEY = "latents"
LARGEST_HEADER = 1 << 20
"""Bytes of JSON; ours has a few hundred."""


class LatentsSink(Protocol):
    """Takes clean latent frames as they come, see `LatentsWriter`."""

    def write(self, frame: Tensor, *, total: int, hidden: int) -> None:
        """One more frame (B, 1, c, h, w), of how many, and how many pixel frames are left out."""


class LatentsWriter:
    """Writes frames as they come; nothing is on the disk before the first one.

    Args:
        path: the file; one that is there is replaced.
        notes: what the file says of itself, strings.
    """

    def __init__(self, path: Path, notes: Mapping[str, str]) -> None:
        self.path = path
        self.frames = 0
        """How many are on the disk."""
        self._notes = dict(notes)
        self._file: BinaryIO | None = None

    def write(self, frame: Tensor, *, total: int, hidden: int) -> None:
        """One more frame (B, 1, c, h, w).

        Args:
            frame: clean latents.
            total: how many there will be.
            hidden: how many of the first pixel frames are to be left out.
        """
        numbers = frame[:, 0].detach().to("cpu", torch.float32).contiguous()
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            self._write_header([total, *numbers.shape], hidden)
        self._file.write(numbers.numpy().tobytes())
        self._file.flush()
        self.frames += 1

    def discard(self) -> None:
        """The file has done its service."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep the file as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> LatentsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write_header(self, shape: list[int], hidden: int) -> None:
        assert self._file is not None
        header = {
            "__metadata__": {**self._notes, "hidden": str(hidden)},
            KEY: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]},
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._file.write(struct.pack("<Q", len(text)) + text)


def read_latents(path: Path) -> tuple[Tensor, dict[str, str]]:
    """The whole frames in a file, (B, k, c, h, w), and its notes; k = T unless a run broke off."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, LARGEST_HEADER)))
            total, *shape = header[KEY]["shape"]
            size = 4 * math.prod(shape)
            data = file.read(size * total)
        whole = len(data) // size
        notes = dict(header["__metadata__"])
    except (OSError, struct.error, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{path} holds no saved latents ({error})") from None
    if whole == 0:
        raise ValueError(f"{path} holds no whole frame: the run broke off before its first one")
    frames = torch.frombuffer(bytearray(data[: whole * size]), dtype=torch.float32)
    return frames.reshape(whole, *shape).transpose(0, 1), notes
