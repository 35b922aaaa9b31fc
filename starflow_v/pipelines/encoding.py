"""A video as noise, with all that is needed to get it back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from starflow_v.flow.window import Window


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The noise z that the flow makes a video of, exactly.

    Args:
        noise: z, (B, c, T, h, w), as the `latents` of a pipeline's call.
        added: what was added to the clean latents before they were mapped, sigma · eps of the same
            shape; `None`: not known.
        height: pixels.
        width: pixels.
        frame_rate: frames per second, as the caption told.
        prompt: what the caption told; `None`: it was given as embeddings, or lies between two.
        window: when the deep block restarted; `None`: never.
    """

    noise: Tensor
    added: Tensor | None
    height: int
    width: int
    frame_rate: int
    prompt: str | None
    window: Window | None = None


def interpolate(a: Encoding, b: Encoding, *, steps: int) -> list[Encoding]:
    """Encodings on the way from `a` to `b`, both included.

    The way is an arc, not a line: the middle of two independent draws of noise is no typical draw,
    being shorter by sqrt(2). What was added goes the same way. Between two prompts there is none:
    `decode` has to be told one.

    Args:
        a: the first one.
        b: the last one, of the same size and length.
        steps: how many, at least 2.
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: give 2 (the two ends) or more")
    ours, theirs = ((e.noise.shape, e.height, e.width, e.frame_rate, e.window) for e in (a, b))
    if ours != theirs:
        raise ValueError(
            f"these two cannot be joined: noise of {tuple(a.noise.shape)} at {a.frame_rate} frames "
            f"per second and of {tuple(b.noise.shape)} at {b.frame_rate}; encode clips of one "
            "length, at one size and rate"
        )
    both = a.added is not None and b.added is not None
    between = a.prompt if a.prompt == b.prompt else None
    prompts = [a.prompt, *[between] * (steps - 2), b.prompt]
    return [
        replace(
            a,
            noise=slerp(a.noise, b.noise, share),
            added=slerp(a.added, b.added, share) if both else None,  # type: ignore[arg-type]
            prompt=prompt,
        )
        for share, prompt in zip(torch.linspace(0, 1, steps).tolist(), prompts, strict=True)
    ]


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation of each sample (B, ...): a at 0, b at 1.

        (sin((1 - s)·θ)·a + sin(s·θ)·b) / sin θ,      θ the angle between a and b

    Where both point the same way (or exactly opposite ways) it is linear.
    """
    x, y = a.flatten(1), b.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(x, y, dim=1).clamp(-1, 1)
    angle = cosine.arccos()
    sine = angle.sin()
    straight = sine < 1e-4
    safe = torch.where(straight, torch.ones_like(sine), sine)
    first = torch.where(straight, 1 - share + 0 * angle, ((1 - share) * angle).sin() / safe)
    second = torch.where(straight, share + 0 * angle, (share * angle).sin() / safe)
    return (first[:, None] * x + second[:, None] * y).view_as(a)
