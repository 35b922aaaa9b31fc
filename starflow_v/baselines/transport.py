"""Exact optimal transport between the points of a batch, by POT or, without it, by scipy."""

from __future__ import annotations

import torch
from torch import Tensor


def assign(cost: Tensor) -> Tensor:
    """The column of each row in the cheapest one-to-one assignment of a cost matrix (n, n).

    Equal masses on both sides have a permutation among their optimal plans, so the linear programme
    (POT's network simplex) and the assignment problem (scipy) have the same minimum.
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f"an assignment needs a square cost matrix, got {tuple(cost.shape)}")
    matrix = cost.detach().double().cpu().numpy()
    try:
        import ot
    except ImportError:
        columns = _assign_with_scipy(matrix)
    else:
        columns = torch.from_numpy(ot.emd([], [], matrix, numItermax=1_000_000)).argmax(dim=1)
    return columns.to(cost.device)


def _assign_with_scipy(matrix: object) -> Tensor:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ValueError(
            "exact optimal transport needs POT or scipy: install one by "
            "pip install 'starflow_v[matching]'"
        ) from error
    return torch.from_numpy(linear_sum_assignment(matrix)[1])
