"""Diffusion is as large as the flow that it is held against."""

import pytest
import torch

from benchmarks.diffusion_baselines import baselines, count
from starflow_v import SequentialSolver, StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.benchmark.clip import Clip, make_clip


def test_both_are_of_the_flows_size() -> None:
    """Within half a layer, on the tokens of the flow, and they say how often they are called."""
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    clip = Clip(prompt="a red circle", height=16, width=16, num_frames=5)
    made = make_clip(pipe, clip, SequentialSolver(), 1.0, whole=False)
    size = count(pipe.flow) + count(pipe.denoiser)
    calls = iter(range(10**6)).__next__
    for case in baselines(pipe, clip, made, lambda: float(calls())):
        assert case.parameters == pytest.approx(size, rel=0.1)
        action = case.action()
        assert isinstance(action, torch.Tensor) and action.shape == made.z.shape
        case.run(first=True, counts=True)
        assert case.row({"text": 1.0, "decode": 2.0, "file": 4.0})["seconds"] == {
            "steps": 1.0,
            "total": 8.0,
        }
