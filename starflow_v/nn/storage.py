"""How a cache keeps keys and values: as they are, rounded, as integers, or on another device.

A cache (`starflow_v.nn.cache`) decides *which* slots it holds; its storage decides *how*. One that
makes them smaller pays with rounding, one that keeps them elsewhere with copies. Letters: B batch,
S slots, d width of a head.

The choice matters: in bfloat16 the deep block of the 7B model keeps 13 GB of keys and values for
each video of 81 frames in 480p, and twice that under guidance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

LARGEST_CODE = 127
"""Codes are -127 .. 127."""


class LayerStore(Protocol):
    """The keys and values of one layer, in slots."""

    def write(self, start: int, keys: Tensor, values: Tensor) -> None:
        """Put keys and values (B, heads, k, d) into the slots start .. start+k-1."""

    def read(self, stop: int) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, stop, d) of the first `stop` slots."""


class CacheStorage(Protocol):
    """Makes the stores of a cache, one a layer."""

    def allocate(self, like: Tensor, capacity: int) -> LayerStore:
        """A store of `capacity` slots for keys like these: (B, heads, any, d), dtype, device."""


@dataclass(frozen=True)
class PlainStorage:
    """Keys and values as numbers.

    Args:
        dtype: what they are rounded to; `None`: kept as they come.
    """

    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None and not self.dtype.is_floating_point:
            raise ValueError(
                f"keys and values cannot be kept as {self.dtype}: give a floating point type such "
                "as torch.bfloat16, or use Int8Storage()"
            )

    def allocate(self, like: Tensor, capacity: int) -> LayerStore:
        return _PlainStore(_slots(like, capacity, like.shape[-1], self.dtype or like.dtype))


class _PlainStore:
    def __init__(self, pair: Tensor) -> None:
        self._pair = pair  # keys and values, (2, B, heads, capacity, d)

    def write(self, start: int, keys: Tensor, values: Tensor) -> None:
        stop = start + keys.shape[2]
        self._pair[0, :, :, start:stop] = keys
        self._pair[1, :, :, start:stop] = values

    def read(self, stop: int) -> tuple[Tensor, Tensor]:
        return self._pair[0, :, :, :stop], self._pair[1, :, :, :stop]


@dataclass(frozen=True)
class Int8Storage:
    """Whole numbers of 8 bits; some neighbours in a slot's head have a scale together.

        code = round(x / scale),    scale = max |x| / 127,    x ≈ code · scale

    The largest error is 1/254 of the largest neighbour: features that are large in every slot do
    not spoil the others. Scales are bfloat16, and codes are whole multiples of the scale as it is
    kept. A head of 64 then takes 72 bytes instead of 128 (bfloat16) or 256 (float32). One layer at
    a time is made numbers again.

    Args:
        group: how many neighbours have a scale; a head that it does not divide has one scale.
    """

    group: int = 16

    def __post_init__(self) -> None:
        if self.group < 1:
            raise ValueError(f"group={self.group} is not valid: give a whole number above 0")

    def allocate(self, like: Tensor, capacity: int) -> LayerStore:
        width = like.shape[-1]
        groups = width // self.group if width % self.group == 0 else 1
        codes = _slots(like, capacity, width, torch.int8)
        return _Int8Store(codes, _slots(like, capacity, groups, torch.bfloat16), like.dtype)


class _Int8Store:
    def __init__(self, codes: Tensor, scales: Tensor, dtype: torch.dtype) -> None:
        self._codes, self._scales, self._dtype = codes, scales, dtype

    def write(self, start: int, keys: Tensor, values: Tensor) -> None:
        slots = slice(start, start + keys.shape[2])
        for index, numbers in enumerate((keys, values)):
            wide = numbers.float().unflatten(-1, (self._scales.shape[-1], -1))
            scale = wide.abs().amax(-1, keepdim=True).clamp(min=1e-30) / LARGEST_CODE
            scale = scale.to(self._scales.dtype)
            self._codes[index, :, :, slots] = (wide / scale).round().to(torch.int8).flatten(-2)
            self._scales[index, :, :, slots] = scale[..., 0]

    def read(self, stop: int) -> tuple[Tensor, Tensor]:
        return self._numbers(0, stop), self._numbers(1, stop)

    def _numbers(self, index: int, stop: int) -> Tensor:
        scale = self._scales[index, :, :, :stop].to(self._dtype)
        numbers = self._codes[index, :, :, :stop].to(self._dtype)
        return numbers.unflatten(-1, (scale.shape[-1], -1)).mul_(scale[..., None]).flatten(-2)


@dataclass(frozen=True)
class OffloadedStorage:
    """Another storage on another device; a layer's slots come over when the layer needs them.

    Each evaluation then carries the whole cache over the bus once: use a solver that needs few.

    Args:
        device: where the slots stay.
        inner: how they are kept there.
    """

    device: str = "cpu"
    inner: CacheStorage = field(default_factory=PlainStorage)

    def allocate(self, like: Tensor, capacity: int) -> LayerStore:
        there = torch.empty_like(like, device=self.device)
        return _OffloadedStore(self.inner.allocate(there, capacity), there.device, like.device)


class _OffloadedStore:
    def __init__(self, inner: LayerStore, there: torch.device, here: torch.device) -> None:
        self._inner, self._there, self._here = inner, there, here

    def write(self, start: int, keys: Tensor, values: Tensor) -> None:
        self._inner.write(start, keys.to(self._there), values.to(self._there))

    def read(self, stop: int) -> tuple[Tensor, Tensor]:
        keys, values = self._inner.read(stop)
        return keys.to(self._here), values.to(self._here)


def _slots(like: Tensor, capacity: int, width: int, dtype: torch.dtype) -> Tensor:
    """Room for keys and values, (2, B, heads, capacity, width)."""
    batch, heads = like.shape[:2]
    return like.new_empty(2, batch, heads, capacity, width, dtype=dtype)
