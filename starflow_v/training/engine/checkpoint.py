"""Checkpoints that are whole or absent, without pickle.

A checkpoint is a folder `step-00001200` with safetensors files and a `state.json`. It is written
under another name, flushed to the disk, and takes its name in one rename: after a crash at any
moment, whatever bears the name is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = 1
NAME = re.compile(r"step-(\d{8,})")
PARTIAL = ".partial-"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that a run needs to go on."""

    step: int
    """Steps done."""
    tensors: Mapping[str, Mapping[str, Tensor]]
    """File name without suffix -> name -> tensor."""
    state: Mapping[str, Any]
    """Whatever else, as JSON."""


def save_checkpoint(checkpoint: Checkpoint, folder: Path, *, keep: int) -> Path:
    """Write a checkpoint into `folder`, then delete all but the newest `keep`; returns its path."""
    if keep < 1:
        raise ValueError(f"at least one checkpoint must be kept, got keep={keep}")
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(leftover)
    path = folder / f"step-{checkpoint.step:08d}"
    partial = folder / f"{PARTIAL}{path.name}"
    try:
        _write(checkpoint, partial)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(
            f"could not write the checkpoint {path}: {error}; earlier ones are untouched"
        ) from error
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
    _flush(folder)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's folder.

    Raises:
        ValueError: if it is none, of another format or damaged; told with the file, and with the
            checkpoint before it.
    """
    with _told_if_unreadable(path / "state.json"):
        state = dict(json.loads((path / "state.json").read_text(encoding="utf-8")))
    if state.get("format") != FORMAT:
        raise ValueError(
            f"{path} has the checkpoint format {state.get('format')}, expected {FORMAT}"
        )
    with _told_if_unreadable(path / "state.json"):
        files, step, rest = state["files"], int(state["step"]), state["state"]
    tensors: dict[str, dict[str, Tensor]] = {}
    for name in files:
        file = path / f"{name}.safetensors"
        with _told_if_unreadable(file):
            tensors[name] = load_file(file)
    return Checkpoint(step=step, tensors=tensors, state=rest)


@contextmanager
def _told_if_unreadable(file: Path) -> Iterator[None]:
    """What fails in here is a `ValueError` that names the file, and where to go on instead."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        path = file.parent
        found = list_checkpoints(path.parent)
        before = found[: found.index(path)][-1:] if path in found else []
        advice = "".join(f"; move it away to go on from {it}, the one before" for it in before)
        raise ValueError(
            f"{path} is no whole checkpoint: its {file.name} cannot be read ({error!r}){advice}"
        ) from error


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    """All files of a checkpoint, flushed to the disk."""
    folder.mkdir()
    for file, tensors in checkpoint.tensors.items():
        save_file(
            {name: it.contiguous() for name, it in tensors.items()}, folder / f"{file}.safetensors"
        )
        _flush(folder / f"{file}.safetensors")
    state = {
        "format": FORMAT,
        "step": checkpoint.step,
        "files": sorted(checkpoint.tensors),
        "state": checkpoint.state,
    }
    (folder / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    _flush(folder / "state.json")
    _flush(folder)


def _flush(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
