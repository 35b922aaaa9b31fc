"""The denoiser without a network: Tweedie's formula with the flow's own score."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.flow.starflow import StarFlowModel


@dataclass(frozen=True)
class ScoreDenoiser:
    """One step of Tweedie's formula with the flow's own score: no network, but no stream either.

    Args:
        flow: the flow; its gradient is global, so all frames must be there.
        noise_std: sigma, the standard deviation of the noise in the latents.
    """

    flow: StarFlowModel
    noise_std: float

    def __post_init__(self) -> None:
        if not 0 <= self.noise_std < math.inf:
            raise ValueError(f"noise_std={self.noise_std} is not valid: give 0 or more")

    @property
    def lookahead(self) -> int:
        """Unbounded: every frame's gradient depends on all frames."""
        return sys.maxsize

    def denoise_frames(
        self, frames: Iterable[Tensor], text: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The frames of `denoise`, (B, 1, c, h, w) each, once all noisy ones are there."""
        noisy = list(frames)
        if noisy:
            yield from self.denoise(torch.cat(noisy, dim=1), text).split(1, dim=1)

    def denoise(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """Cleaned latents, (B, T, c, h, w).

        It works under `no_grad` and under `inference_mode` too, whose tensors must be copied to
        take part in a gradient.
        """
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().detach().requires_grad_()
            words = None if text is None else text.clone().detach()
            (score,) = torch.autograd.grad(self.flow.log_prob(x, words).sum(), x)
        return (x + self.noise_std**2 * score).detach()
