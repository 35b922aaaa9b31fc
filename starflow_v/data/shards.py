"""Shards: safetensors files that are whole or absent, made once, by one process or by many.

A folder of shards is signed with what all of them depend on (`sign`); a shard's header says what it
was made of, so that one whose files have changed is made anew. A shard is written under another
name and takes its own in one rename: an interrupted build goes on where it stopped, and a full disk
leaves no half of one.

Under `accelerate launch` shard i is made by process i modulo the number of processes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from starflow_v.processes import Process

INDEX = "cache.json"
MADE_OF = "made_of"
ABANDONED = 3600.0
"""Seconds after which a half-written shard is no longer another process's work."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What a shard holds."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, Any]
    """Anything that JSON can say."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """The shards of one name: how many, and how each is made."""

    name: str
    count: int
    make: Callable[[int], Shard]
    """Makes shard i, a pure function of i."""
    made_of: Callable[[int], str] = field(default=lambda index: "")
    """Changes when what shard i is made of does."""

    def missing(self, folder: Path) -> list[int]:
        """Shards that are not there, or were made of something else."""
        return [
            index
            for index in range(self.count)
            if _made_of(shard_path(folder, self.name, index)) != self.made_of(index)
        ]


def build_shards(folder: Path, plan: ShardPlan, *, process: Process) -> int:
    """Write the shards of a plan that are missing and ours; returns how many those were."""
    ours = sorted({*plan.missing(folder)} & {*process.share(range(plan.count))})
    if not ours:
        return 0
    for index in tqdm(ours, desc=f"cache: {plan.name}", unit="shard", disable=None):
        shard = plan.make(index)
        header = {MADE_OF: plan.made_of(index), **shard.header}
        _write(shard_path(folder, plan.name, index), shard.tensors, header)
    return len(ours)


def wait_for_shards(folder: Path, plans: Iterable[ShardPlan], *, poll_seconds: float = 1.0) -> None:
    """Return when other processes have made their shards too."""
    for plan in plans:
        while plan.missing(folder):
            time.sleep(poll_seconds)


def shard_path(folder: Path, name: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{name}-{index:05d}.safetensors"


def read_header(path: Path) -> dict[str, Any]:
    """The header of a shard."""
    try:
        with safe_open(path, framework="pt") as shard:
            return {key: json.loads(value) for key, value in (shard.metadata() or {}).items()}
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is no shard of a cache ({error}): delete it") from error


def digest(texts: Iterable[str]) -> str:
    """A short name of some texts, in order."""
    hashed = sha256()
    for text in texts:
        hashed.update(text.encode(errors="surrogatepass") + b"\0")
    return hashed.hexdigest()[:16]


def sign(folder: Path, fingerprint: str) -> None:
    """Sign a new folder of shards; refuse one that depends on something else.

    Raises:
        ValueError: if the folder bears another fingerprint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX
    if not index.exists():
        part = index.with_suffix(f".{os.getpid()}.part")
        try:
            part.write_text(json.dumps({"made_with": fingerprint}))
            part.replace(index)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _unwritten(index, error) from error
    made_with = json.loads(index.read_text())["made_with"]
    if made_with != fingerprint:
        raise ValueError(
            f"the cache {folder} was made with something else ({made_with}; wanted {fingerprint}): "
            "delete it, or give another folder"
        )


def _made_of(path: Path) -> str | None:
    """What a shard was made of; None where there is none."""
    return str(read_header(path).get(MADE_OF, "")) if path.exists() else None


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    for leftover in path.parent.glob(f"{path.stem}.*.part"):
        if time.time() - leftover.stat().st_mtime > ABANDONED:
            leftover.unlink(missing_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    texts = {key: json.dumps(value) for key, value in header.items()}
    try:
        save_file({name: it.contiguous() for name, it in tensors.items()}, part, metadata=texts)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise _unwritten(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unwritten(path: Path, error: Exception) -> OSError:
    return OSError(
        f"could not write {path} ({error}): make room on the disk and start again; shards that are "
        "there are whole and stay"
    )
