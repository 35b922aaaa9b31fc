"""The exact solver: group after group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.flow.predictor import Predictor
from starflow_v.flow.solver.cost import Cost
from starflow_v.flow.solver.frame_by_frame import FrameByFrame


@dataclass(frozen=True)
class SequentialSolver(FrameByFrame):
    """Group after group, each evaluated once: exact. It leaves NaN and Inf to the stages."""

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        done = []
        groups = noise.split(predictor.group, dim=1)
        for z in groups:
            x = predictor.propose(z).denormalize(z)
            predictor.commit(x)
            done.append(x)
        return torch.cat(done, dim=1), Cost(len(groups), noise.shape[1])
