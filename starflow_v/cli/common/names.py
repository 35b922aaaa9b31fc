"""Names of output files, safe for any prompt."""

import re
import unicodedata
from pathlib import Path

LONGEST_SLUG = 60
LATENTS_SUFFIX = ".latents.safetensors"


def slug(prompt: str) -> str:
    """The letters and digits of `prompt` in ASCII, joined by hyphens: no path, no hidden file.

    >>> slug("A Déjà-vu: ../../etc/passwd?")
    'a-deja-vu-etc-passwd'
    """
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("'", ""))
    return "-".join(words)[:LONGEST_SLUG].strip("-")


def clip_name(prompt: str, seed: int, *, index: int | None = None) -> str:
    """`index`-`seed`-prompt.mp4; the index is the prompt's place in its file.

    >>> clip_name("a red circle", 7, index=3)
    '0003-7-a-red-circle.mp4'
    """
    parts = [f"{index:04d}" if index is not None else "", str(seed), slug(prompt)]
    return "-".join(part for part in parts if part) + ".mp4"


def comparison_paths(video: Path) -> tuple[Path, Path]:
    """The comparison beside a video, moving and still: same stem, `.compare.mp4` and `.png`."""
    return video.with_suffix(".compare.mp4"), video.with_suffix(".compare.png")


def latents_path(video: Path) -> Path:
    """The clean latents beside a video that is being made: same stem, `.latents.safetensors`."""
    return video.with_suffix(LATENTS_SUFFIX)


def record_path(video: Path) -> Path:
    """The record beside a video: same stem, `.json`."""
    return video.with_suffix(".json")
