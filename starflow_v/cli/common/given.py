"""The files that a video was made from, as its record names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """A file as it was when the video was made."""

    path: str
    sha256: str


def describe_files(files: Mapping[str, Path]) -> dict[str, GivenFile]:
    """Each file with its hash; one that cannot be opened as a plain file is a `ValueError`."""
    return {
        name: GivenFile(path=str(path.absolute()), sha256=_hash(path))
        for name, path in files.items()
    }


def unchanged_files(given: Mapping[str, GivenFile], *, beside: Path) -> dict[str, Path]:
    """The files of a record; a `ValueError` if one of them is not as it was.

    A file that is not at its place any more is looked for under its name `beside` the record.
    """
    found = {}
    for name, file in given.items():
        path = Path(file.path)
        if not path.exists() and (beside / path.name).exists():
            path = beside / path.name
        if _hash(path) != file.sha256:
            raise ValueError(
                f"{path} has changed since the recorded video was made from it; put the old "
                "file back, or make a new video"
            )
        found[name] = path
    return found


def _hash(path: Path) -> str:
    from starflow_v.data.video_io.safety import open_plain_file

    digest = hashlib.sha256()
    with open_plain_file(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
