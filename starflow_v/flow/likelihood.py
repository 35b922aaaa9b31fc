"""Likelihood in nats and in bits: one formula for training, scoring and comparing.

    log p(token) = log N(z; 0, I) + log |dz/dx|
    bits per dimension = -log p(video) / (dimensions · log 2)

The deep block is causal over frames and the shallow ones see one frame each. So the tokens of frame
t add up to log p(x_t | x_<t, text) exactly, and the frames to log p(video | text). What one token
has is an attribution within its frame: the blocks run through it in different orders.
"""

from __future__ import annotations

import math

from einops import reduce
from torch import Tensor

LOG_TAU = math.log(2 * math.pi)


def token_log_prob(z: Tensor, log_det: Tensor) -> Tensor:
    """log p of each token in nats, (B, T, rows, columns).

    Args:
        z: noise, (B, T, c, h, w).
        log_det: log |dz/dx| of each token, (B, T, rows, columns).
    """
    rows, columns = log_det.shape[-2:]
    pattern = "b t c (rows p) (columns q) -> b t rows columns"
    energy = reduce((z.square() + LOG_TAU) / 2, pattern, "sum", rows=rows, columns=columns)
    return log_det - energy


def bits(log_prob: Tensor, *, dimensions: int) -> Tensor:
    """Nats of that many numbers -> bits per dimension; fewer are better, below 0 there are too."""
    return -log_prob / (dimensions * math.log(2))
