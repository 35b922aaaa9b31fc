"""Where a component comes from: a local folder, or a repository on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

WANTED = ("*.safetensors", "*.json", "*.model", "*.txt")
"""Weights, configurations and tokenizers' files; never a pickle, never code."""


def find_part(place: str, part: str, *, marks: Sequence[str] = ("config.json",)) -> Path:
    """The folder of a component.

    Args:
        place: a local folder, or the id of a repository on the hub (`owner/name`). It may be the
            component's own, or that of a whole pipeline with the component in a folder inside.
        part: the component's folder inside a pipeline's, such as "vae".
        marks: files of which the component has at least one.

    Raises:
        ValueError: if there is no such folder or repository, or it does not hold the component.
    """
    if not Path(place).exists():
        return _download(place, part, marks)
    for folder in (Path(place) / part, Path(place)):
        if any((folder / mark).is_file() for mark in marks):
            return folder
    raise ValueError(
        f"{place} holds neither {' nor '.join(marks)}, nor a folder {part} that does: expected a "
        f"{part.replace('_', ' ')}, or a pipeline with one"
    )


def _download(place: str, part: str, marks: Sequence[str]) -> Path:
    """The component from the hub's cache, which is filled if need be."""
    parts = place.split("/")
    if len(parts) != 2 or not all(parts) or place.startswith((".", "~")):
        raise ValueError(
            f"there is no folder {place}, and it is no hub id either (owner/name): give the "
            f"{part.replace('_', ' ')} as one of the two"
        )
    try:
        files = HfApi().list_repo_files(place)
        inside = any(f"{part}/{mark}" in files for mark in marks)
        prefix = f"{part}/" if inside else ""
        wanted = [name for name in files if _is_wanted(name, prefix)]
        folder = Path(snapshot_download(place, allow_patterns=wanted))
    except Exception as error:  # also those of whatever library does the hub's HTTP
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{place} is no local folder and could not be had from the hub: {reason}"
        ) from None
    return find_part(str(folder), part, marks=marks)


def _is_wanted(name: str, prefix: str) -> bool:
    """Whether a file of a repository lies right in the component's folder and is of use."""
    inner = name.removeprefix(prefix)
    is_there = name.startswith(prefix) and "/" not in inner
    return is_there and any(Path(inner).match(pattern) for pattern in WANTED)
