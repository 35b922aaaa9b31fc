"""What the flow says of a given video: bits per latent dimension, and which caption explains it.

The flow models latents with noise added, x = clean + sigma · eps, so every number is a mean over
draws of eps. Captions are compared under the same draws: what the noise costs cancels, and the
standard error of a difference is far below that of either score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Score:
    """Bits per latent dimension of a video's noised latents; fewer: the model expects it more.

    Args:
        draws: bits per dimension of each token in each draw of the noise, (K, T, rows, columns).
        dimensions: numbers in a token.
    """

    draws: Tensor
    dimensions: int

    @property
    def bits(self) -> float:
        """Of the whole video: the mean of `frame_bits`, for all frames have as many dimensions."""
        return float(self.draws.mean())

    @property
    def error(self) -> float:
        """Standard error of `bits` over the draws; NaN of a single one."""
        return float(_standard_error(self.draws.flatten(1).mean(1)))

    @property
    def frame_bits(self) -> Tensor:
        """-log2 p(x_t | x_<t, text) per dimension of each latent frame, (T,): exact conditionals.

        After a restart of the window, x_<t are the frames in the window.
        """
        return self.draws.mean(dim=(0, 2, 3))

    @property
    def frame_errors(self) -> Tensor:
        """Standard errors of `frame_bits`, (T,)."""
        return _standard_error(self.draws.mean(dim=(2, 3)))

    @property
    def token_bits(self) -> Tensor:
        """What each token adds, (T, rows, columns): those of a frame have its bits as their mean.

        An attribution, not a conditional: the blocks run through a frame in different orders.
        """
        return self.draws.mean(dim=0)

    @property
    def log_probs(self) -> Tensor:
        """log p(video | text) in nats in each draw, (K,)."""
        return -self.draws.flatten(1).sum(1) * self.dimensions * math.log(2)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How well each of several captions explains a video.

    Args:
        prompts: the captions, as given.
        scores: theirs, under the same draws of the noise.
    """

    prompts: Sequence[str]
    scores: Sequence[Score]

    @property
    def order(self) -> list[int]:
        """Places of the captions in the list, the best first."""
        return sorted(range(len(self.scores)), key=lambda index: self.scores[index].bits)

    @property
    def best(self) -> str:
        """The caption that explains the video best."""
        return self.prompts[self.order[0]]

    @property
    def posterior(self) -> Tensor:
        """p(caption | video) if all were equally probable before, (P,): softmax of mean nats."""
        return torch.stack([score.log_probs.mean() for score in self.scores]).softmax(0)

    @property
    def behind(self) -> Tensor:
        """Bits per dimension by which each caption is worse than the best one, (P,)."""
        return self._behind().mean(1)

    @property
    def behind_errors(self) -> Tensor:
        """Standard errors of `behind`, of paired draws, (P,); NaN of a single draw."""
        return _standard_error(self._behind().T)

    def _behind(self) -> Tensor:
        """In each draw, (P, K)."""
        totals = torch.stack([score.draws.flatten(1).mean(1) for score in self.scores])
        return totals - totals[self.order[0]]


def _standard_error(draws: Tensor) -> Tensor:
    """Of the mean over the first axis."""
    if len(draws) < 2:
        return torch.full_like(draws[0], math.nan)
    return draws.std(0) / math.sqrt(len(draws))
