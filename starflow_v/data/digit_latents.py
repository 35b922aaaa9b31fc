"""Digits through the codec: one shard of latents, captioned by their classes."""

from __future__ import annotations

from collections.abc import Sequence

from starflow_v.data.buckets import Size
from starflow_v.data.digits import CLASSES, Part, read_digits
from starflow_v.data.latent_cache import Encoded
from starflow_v.data.task_latents import encode_clips
from starflow_v.vae import Codec


class DigitLatents:
    """A `LatentSource` of some parts of the digits; the caption of an image is its class."""

    def __init__(self, codec: Codec, parts: Sequence[Part]) -> None:
        self._codec, self._parts = codec, tuple(parts)
        self.fingerprint = f"digits: {', '.join(self._parts)}"

    def shards(self, task: str) -> int:
        """One."""
        return 1

    def made_of(self, task: str, index: int) -> str:
        """Nothing but what the fingerprint tells."""
        return ""

    def encode(self, task: str, index: int) -> Encoded:
        """All of them."""
        digits = read_digits(*self._parts)
        size = Size(*digits.images.shape[1:])
        return Encoded(
            latents={size: encode_clips(self._codec, task, list(digits.clips()))},
            captions={size: [[CLASSES[label]] for label in digits.labels]},
        )
