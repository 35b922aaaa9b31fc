"""No denoising: what comes next takes the noise away by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AsTheyAre:
    """Hands latents on: to a decoder that was trained on noisy ones (STARFlow, arXiv 2506.06276),
    or to pixels, whose bins decoding rounds to."""

    @property
    def lookahead(self) -> int:
        """None."""
        return 0

    def denoise_frames(
        self, frames: Iterable[Tensor], text: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The frames themselves, (B, 1, c, h, w) each."""
        yield from frames

    def denoise(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """The latents themselves, (B, T, c, h, w)."""
        return x
