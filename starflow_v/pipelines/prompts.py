"""Prompts, and prompts that change along the way.

    "a red circle moves right"                                      one prompt for the whole video
    {0: "a red circle moves right", 34: "a red circle moves left"}  from pixel frame 34 on another
    [..., ...]                                                      one of either for each video

The model makes four pixel frames at a time, so a prompt begins where a latent frame does: at pixel
frame 0, 1, 5, 9, 13, ...
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

Prompt: TypeAlias = str | Mapping[int, str]
"""What a video shows; or what it shows from which pixel frame on, 0 among them."""
Prompts: TypeAlias = Prompt | Sequence[Prompt]
"""That of one video, or those of several."""


def check_prompts(prompts: Prompts) -> None:
    """A `ValueError` for what is none."""
    listed = as_list(prompts)
    if not listed or not all(isinstance(prompt, str | Mapping) for prompt in listed):
        raise ValueError(
            "prompt must be a string, a dictionary {frame: string}, or a list of those, got "
            f"{prompts!r}"
        )
    for prompt in listed:
        if isinstance(prompt, Mapping):
            _check_changes(prompt)


def as_list(prompts: Prompts) -> list[Prompt]:
    """One prompt for each video."""
    if isinstance(prompts, str | Mapping):
        return [prompts]
    return list(prompts) if isinstance(prompts, list | tuple) else []


def prompts_at(prompts: Prompts, frame: int) -> list[str]:
    """What each video is told at a pixel frame."""
    return [
        prompt if isinstance(prompt, str) else prompt[max(k for k in prompt if k <= frame)]
        for prompt in as_list(prompts)
    ]


def changes(prompts: Prompts) -> list[int]:
    """The pixel frames at which a prompt of any video begins, in order; the first one is 0."""
    starts = (prompt for prompt in as_list(prompts) if not isinstance(prompt, str))
    return sorted({0, *(frame for prompt in starts for frame in prompt)})


def latent_changes(
    prompts: Prompts, *, num_frames: int, factor: int, hidden: int = 0
) -> dict[int, int]:
    """Latent frame -> the pixel frame whose prompts are told from there on, in order.

    Prompts begin with the nearest latent frame, and a warning tells which if it is another.

    Args:
        prompts: as they were given.
        num_frames: pixel frames of the video.
        factor: pixel frames per latent frame after the first.
        hidden: how many of the first pixel frames are left out, and not counted by the prompts.
    """
    asked = changes(prompts)
    seen = num_frames - hidden
    if asked[-1] >= seen:
        raise ValueError(
            f"a prompt was given for frame {asked[-1]} of a video with {seen} frames, 0 to "
            f"{seen - 1}: ask for more frames, or leave it out"
        )
    last = (num_frames - 1) // factor
    nearest = {
        pixel: min(1 + (pixel + hidden - 1 + factor // 2) // factor, last) for pixel in asked[1:]
    }
    _refuse_untold(prompts, {0: 0} | nearest, factor)
    begins = {pixel: 1 + (latent - 1) * factor - hidden for pixel, latent in nearest.items()}
    moved = [
        f"that of frame {pixel} begins at frame {begin}"
        for pixel, begin in begins.items()
        if begin != pixel
    ]
    if moved:
        warnings.warn(
            f"a prompt begins at frame 1 + {factor}k, where a latent frame does: "
            f"{', '.join(moved)}",
            stacklevel=5,
        )
    return {0: 0} | {latent: pixel for pixel, latent in nearest.items()}


def _refuse_untold(prompts: Prompts, latents: Mapping[int, int], factor: int) -> None:
    """Of two prompts of a video that begin with the same latent frame one would never be told."""
    for prompt in as_list(prompts):
        for one, other in pairwise(sorted(prompt) if isinstance(prompt, Mapping) else ()):
            if latents[one] == latents[other]:
                raise ValueError(
                    f"prompts were given for the frames {one} and {other}, which begin with the "
                    f"same latent frame: put them {factor} frames apart, or leave one out"
                )


def _check_changes(prompt: Mapping[int, str]) -> None:
    for frame, text in prompt.items():
        if isinstance(frame, bool) or not isinstance(frame, int) or frame < 0:
            raise ValueError(f"{frame!r} is no frame: give the prompts as {{0: ..., 40: ...}}")
        if not isinstance(text, str):
            raise ValueError(f"the prompt for frame {frame} must be a string, got {text!r}")
    if 0 not in prompt:
        raise ValueError(
            f"prompts were given for the frames {sorted(prompt)}: give one for frame 0, too"
        )
