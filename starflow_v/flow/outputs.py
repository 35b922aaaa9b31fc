"""What the flow returns: forwards z and its log-determinant, backwards x and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffusers.utils import BaseOutput
from torch import Tensor


@dataclass
class FlowOutput(BaseOutput):
    """The map forwards.

    The first two are always there; the defaults let accelerate rebuild an output from a dictionary,
    as the first argument, when it moves or casts one.

    Args:
        z: noise, (B, T, c, h, w).
        log_det: log |dz/dx| of each token, (B, T, rows, columns), in nats, in raster order.
        between: the tokens that each shallow block made, (B, T, N, C), from the data on; on demand.
    """

    z: Tensor
    log_det: Tensor = None  # type: ignore[assignment]
    between: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Solution:
    """The map backwards, and what it cost.

    Args:
        latents: x, (B, T, c, h, w).
        evaluations: calls of the network, one after the other, of the "deep" and "shallow" halves.
            What is done once, whatever the length, is not in it: the deep block's reading of the
            text and the shallow blocks' forward pass over a prefix. (That the deep block commits a
            prefix, or what a window carries over, is one call each.)
        passes: tokens evaluated divided by the tokens of the video, with the same exceptions.
        residual: the largest last change of the solver, in its own norm; 0 if solved exactly.
        converged: whether the solver met its tolerance everywhere.
    """

    latents: Tensor
    evaluations: dict[str, int] = field(default_factory=dict)
    passes: dict[str, float] = field(default_factory=dict)
    residual: float = 0.0
    converged: bool = True
