"""Buckets: samples that can share a batch, because they have one task and one size.

Videos come in many shapes. Cutting all of them square loses half of what they show, so a data set
has a few *sizes* of about the same area, each a multiple of what codec and flow can cut into
tokens; a video goes to the size whose aspect ratio is nearest to its own, is resized to cover it
and cropped in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from starflow_v.text import size_for


class Size(NamedTuple):
    """Pixels of a frame."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """
        >>> Size.parse("48x80")
        Size(height=48, width=80)
        """
        height, width = text.split("x")
        return cls(int(height), int(width))


BEGUN = ("v2v_start", "v2v_image")
"""Tasks that show what pairs of clips begin with; nobody asks a model for them."""
OF_PAIRS = ("v2v", *BEGUN)
"""Tasks whose samples are a source and a target."""
OF_STILLS = ("image", "v2v_image")
"""Tasks whose samples are single frames."""


def frames_of(task: str, *, clip: int, start: int) -> int:
    """Pixel frames of a task's samples, where a clip has `clip` and two latent frames have `start`.

    >>> [frames_of(task, clip=17, start=5) for task in ("video", "v2v_start", "v2v_image")]
    [17, 5, 1]
    """
    if task in OF_STILLS:
        return 1
    return start if task == "v2v_start" else clip


class Bucket(NamedTuple):
    """What all samples of a batch have in common."""

    task: str
    """"video", "image", "extend", "last", "v2v", "v2v_start" or "v2v_image"."""
    size: Size


def bucket_sizes(base: Size, aspect_ratios: Sequence[str], *, multiple: int) -> tuple[Size, ...]:
    """The sizes of a data set: `base` alone, or one for each ratio, of the area of `base`.

    >>> bucket_sizes(Size(64, 64), ["1:1", "16:9", "9:16"], multiple=16)
    (Size(height=64, width=64), Size(height=48, width=80), Size(height=80, width=48))
    """
    if not aspect_ratios:
        if base.height % multiple or base.width % multiple:
            raise ValueError(
                f"data.height and data.width are {base}; expected multiples of {multiple}, which "
                "codec and flow cut into tokens"
            )
        return (base,)
    area = base.height * base.width
    sizes = [Size(*size_for(ratio, area=area, multiple=multiple)) for ratio in aspect_ratios]
    return tuple(dict.fromkeys(sizes))


def nearest_size(sizes: Sequence[Size], height: int, width: int) -> Size:
    """The size whose aspect ratio is nearest to a picture's, by logarithms.

    >>> nearest_size([Size(64, 64), Size(48, 80)], 272, 640)
    Size(height=48, width=80)
    """
    ratio = width / height
    return min(sizes, key=lambda size: abs(math.log(size.width / size.height / ratio)))
