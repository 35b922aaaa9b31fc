"""The noise a video is made from: one draw per sample and latent frame, on the CPU.

One generator seeds one child per sample, in order, and each child draws its own frames. So a sample
depends neither on the rest of its batch nor on the length of the video nor on the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

_SEEDS = 2**63 - 1


def seed_children(generator: Generator | Sequence[Generator] | None, count: int) -> list[Generator]:
    """One CPU generator per sample.

    Args:
        generator: one for all samples, one for each, or `None` for PyTorch's global one.
        count: number of samples.
    """
    if generator is None or isinstance(generator, Generator):
        parents: list[Generator | None] = [generator] * count
    else:
        parents = list(generator)
        if len(parents) != count:
            raise ValueError(
                f"{len(parents)} generators were given for {count} videos: give one, or one each"
            )
    return [Generator().manual_seed(_draw_seed(parent)) for parent in parents]


def noise_frames(
    children: Sequence[Generator], shape: tuple[int, int, int], *, frames: int, device: torch.device
) -> Iterator[Tensor]:
    """Standard normal noise, frame after frame.

    Args:
        children: one generator per sample, see `seed_children`.
        shape: (c, h, w) of a latent frame.
        frames: how many.
        device: where the frames go.

    Yields:
        (B, 1, c, h, w), float32.
    """
    for _ in range(frames):
        draws = [torch.randn(1, *shape, generator=child) for child in children]
        yield torch.stack(draws).to(device)


def _draw_seed(parent: Generator | None) -> int:
    device = "cpu" if parent is None else parent.device
    return int(torch.randint(_SEEDS, (), generator=parent, device=device))
