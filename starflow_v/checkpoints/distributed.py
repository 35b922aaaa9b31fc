"""Checkpoints of `torch.distributed.checkpoint`: a folder of `.distcp` files and their `.metadata`.

PyTorch reads `.metadata` with the plain unpickler, which runs whatever program it finds there. Here
it is read by an unpickler that knows a handful of names and refuses every other.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_distributed

from starflow_v.checkpoints.reading import TensorSource
from starflow_v.checkpoints.writing import DTYPES

METADATA = ".metadata"

_DTYPES = {str(it).removeprefix("torch.") for it in DTYPES}
_PATHS = {"Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"}
_ALLOWED = {
    "torch": {"Size", *_DTYPES},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "collections": {"OrderedDict"},
}
"""Module -> what `.metadata` may name."""


class DistributedSource(TensorSource):
    """The tensors of a distributed checkpoint, whatever number of processes wrote it."""

    def __init__(self, folder: Path) -> None:
        self._reader = _Reader(folder)
        metadata = self._reader.read_metadata()
        self.tensors = {
            name: torch.empty(it.size, dtype=it.properties.dtype, device="meta")
            for name, it in metadata.state_dict_metadata.items()
            if isinstance(it, TensorStorageMetadata)
        }

    def read(self, names: Sequence[str]) -> Iterator[Tensor]:
        for name in names:
            tensor = torch.empty_like(self.tensors[name], device="cpu")
            self._load(name, tensor)
            yield tensor

    def _load(self, name: str, tensor: Tensor) -> None:
        """Fill `tensor`. (PyTorch warns that there is one process: so there should be.)"""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                load_distributed({name: tensor}, storage_reader=self._reader, no_dist=True)
        except CheckpointException as error:
            reason = str(next(iter(error.failures.values()))[0]).strip().splitlines()[0]
            raise ValueError(f"{name} cannot be read from {self._reader.path}: {reason}") from None


class _Reader(FileSystemReader):
    """PyTorch's reader with another unpickler, used once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._metadata = _read_metadata(folder)

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return self._metadata


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        if module.startswith("pathlib"):
            return Path
        return super().find_class(module, name)


def _read_metadata(folder: Path) -> Metadata:
    path = folder / METADATA
    if not path.is_file():
        raise ValueError(
            f"{folder} is no distributed checkpoint: it has no {METADATA}; expected a folder that "
            "torch.distributed.checkpoint wrote, or a single file"
        )
    try:
        with path.open("rb") as file:
            metadata = _Unpickler(file).load()
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: {error}, which no checkpoint needs, or it is damaged; nothing of "
            "it was run"
        ) from None
    except (EOFError, AttributeError, LookupError, TypeError, ValueError, UnicodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(metadata, Metadata):
        raise ValueError(f"{path} holds a {type(metadata).__name__}; expected Metadata")
    if getattr(metadata, "storage_meta", None) is None:
        metadata.storage_meta = StorageMeta()
    return metadata
