"""Where the target of an edit is worth learning: at the places where its source stands out.

Most tokens of a source and its target show an even background, which costs a model little and
teaches it less, yet their noise is as loud in the gradient as that of the few that show the thing
to be edited. So tokens may count by what stands at their place in the source,

    loss = Σ_j w_j(source) · -log p(target_j | source, target_<j, instruction).

A weight that hangs on nothing but what a token is conditioned on moves no optimum: each factor is
at its best for the true conditional, whatever its weight. That is so for the deep block's tokens
with all else frozen, not for a map that is trained to mix the tokens of a frame.
"""

from __future__ import annotations

from einops import reduce
from torch import Tensor

TINY = 1e-12
"""Makes all places of an even source alike."""


def focus_weights(source: Tensor, *, rows: int, columns: int, strength: float) -> Tensor:
    """Weight of each token at these places, (B, T, rows, columns), of mean 1 in each sample.

    Args:
        source: latents as the flow reads them, (B, T, c, h, w).
        rows, columns: tokens of a frame.
        strength: what the square distance from the frame's median, in units of its mean, counts for
            beside 1; 0 gives even weights.
    """
    median = source.flatten(3).median(-1).values[..., None, None]
    pattern = "b t c (rows p) (columns q) -> b t rows columns"
    away = reduce((source - median).square(), pattern, "mean", rows=rows, columns=columns)
    away = (away + TINY) / (away.mean((1, 2, 3), keepdim=True) + TINY)
    return (1 + strength * away) / (1 + strength)
