"""The frames that are known when a run begins: an image, a source, a clip to be continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starflow_v.data.pixels import Clip, to_frames


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Pixels that stay as they are, whatever is made around them.

    Args:
        clips: (F, H, W, 3) each, as many as there are, or one for each prompt.
        made: (F, H, W), True where the pixels are to be made.
    """

    clips: Sequence[Clip]
    made: NDArray[np.bool_]


def put_back(kept: Kept | None, frames: Tensor, *, first: int = 0) -> Tensor:
    """Frames (B, f, 3, H, W) with what is kept in its place; `first` is the number of the first."""
    if kept is None:
        return frames
    here = slice(first, first + frames.shape[1])
    times = frames.shape[0] // len(kept.clips)
    known = to_frames([clip[here] for clip in kept.clips]).repeat_interleave(times, dim=0)
    made = torch.from_numpy(kept.made[here])[:, None].to(frames.device)
    return torch.where(made, frames, known.to(frames))


@dataclass(frozen=True, kw_only=True)
class Known:
    """Clean latents of known frames, in their two parts.

    A prefix is what the flow goes on from: it is noised, mapped through the shallow blocks and
    committed by the deep one; the denoiser sees it as context. What is shown is what the video
    begins with: it goes to the decoder as it is. For an image they are the same; the last frame of
    a video and the source of an edit are committed but not shown; a long clip that is continued is
    shown whole, and its end is committed.

    Args:
        prefix: (K, P, c, h, w); K is 1, or divides the number of videos: one for each prompt.
        shown: (K, S, c, h, w).
        hidden: how many of the first pixel frames of the video are left out.
        kept: what is put back into the decoded pixels.
    """

    prefix: Tensor
    shown: Tensor
    hidden: int = 0
    kept: Kept | None = None

    def for_videos(self, count: int) -> Known:
        """The same for `count` videos: those of one prompt follow each other."""
        times = count // self.prefix.shape[0]
        return Known(
            prefix=self.prefix.repeat_interleave(times, dim=0),
            shown=self.shown.repeat_interleave(times, dim=0),
            hidden=self.hidden,
            kept=self.kept,
        )


def nothing_known(shape: tuple[int, int, int], device: torch.device) -> Known:
    """No frames of shape (c, h, w): text to video."""
    none = torch.zeros(1, 0, *shape, device=device)
    return Known(prefix=none, shown=none)
