"""Noise on what a block reads, for flows that are easy to invert.

A token is solved from those before it, and an error in them is stretched by how sharply its
parameters hang on them. Along a chain of such tokens it grows, and a parallel solver has to wait
for the chain, token after token. So let the parameters be learned from a blurred context,

    z_j = (x_j - shift(x_< + a s n)) / scale(x_< + a s n),        n ~ N(0, I),

with s the standard deviation of the tokens and a small a: what hangs on details finer than a·s is
unlearned. The map itself, and its likelihood, are those without noise.
"""

from __future__ import annotations

from torch import Tensor


def noisy_context(tokens: Tensor, noise: Tensor | None) -> Tensor:
    """Tokens as a block reads them, (B, S, C); noise: a·n of that shape, or `None` for none."""
    if noise is None:
        return tokens
    spread = tokens.detach().flatten(1).std(1)
    return tokens + spread[:, None, None] * noise
