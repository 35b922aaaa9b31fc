"""The pipeline of flow matching keeps the conventions of the flow's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from starflow_v import (
    CausalVelocityModel,
    DensityGuidance,
    SequentialSolver,
    StarFlowVFlowMatchingPipeline,
)
from starflow_v.baselines.integrators import Euler
from tests.pipelines.conftest import scatter, tiny_components

PROMPT = "a red circle moves right"


def matching_pipeline(**settings: object) -> StarFlowVFlowMatchingPipeline:
    components = tiny_components() | {"denoiser": None}
    components["flow"] = scatter(
        CausalVelocityModel(
            in_channels=4, width=48, layers=2, head_dim=24, text_dim=16, reference_size=4
        )
    )
    options = {
        "num_inference_steps": 3,
        "temporal_scale": 0.8,
        "frame_rate": 8,
        "num_frames": 9,
        "height": 16,
        "width": 24,
        "guidance_scale": 1.0,
        "text_length": 40,
        "conditions": ["fps", "aspect_ratio"],
        "window_frames": 4,
        "window_overlap": 2,
    }
    pipe = StarFlowVFlowMatchingPipeline(**components, **options | settings)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pipe() -> StarFlowVFlowMatchingPipeline:
    return matching_pipeline()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_prompt_becomes_a_video_and_its_cost_is_told(pipe) -> None:
    output = pipe(PROMPT, generator=seeded())
    assert output.frames.shape == (1, 9, 16, 24, 3)
    assert output.deep.evaluations == 3 + 4 + 4  # three frames; two were put into the cache
    assert output.shallow.evaluations == 0
    assert np.array_equal(output.frames, pipe(PROMPT, generator=seeded()).frames)
    assert not np.array_equal(output.frames, pipe(PROMPT, generator=seeded(1)).frames)


def test_the_stream_is_the_call(pipe) -> None:
    called = pipe(PROMPT, generator=seeded(), num_inference_steps=2, output_type="pt").frames
    chunks = list(pipe.stream(PROMPT, generator=seeded(), num_inference_steps=2, output_type="pt"))
    assert [chunk.shape[1] for chunk in chunks] == [1, 4, 4]
    assert_close(torch.cat(chunks, dim=1), called, atol=1e-5, rtol=0)


def test_a_sample_does_not_depend_on_its_batch(pipe) -> None:
    prompts = [PROMPT, "a blue circle"]
    generators = [seeded(0), seeded(1)]
    both = pipe(prompts, generator=generators, output_type="latent").frames
    alone = pipe(prompts[1], generator=seeded(1), output_type="latent").frames
    assert_close(both[1:], alone, atol=1e-4, rtol=0)


def test_a_saved_pipeline_is_loaded_as_what_it_is(pipe, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    expected = pipe(PROMPT, generator=seeded()).frames
    again = StarFlowVFlowMatchingPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.integrator == Euler(3)
    assert_close(again(PROMPT, generator=seeded()).frames, expected, atol=1e-5, rtol=0)


def test_steps_and_integrators_are_chosen(pipe) -> None:
    assert pipe(PROMPT, num_inference_steps=1, guidance_scale=0).deep.evaluations == 1 + 2 + 2
    pytest.importorskip("torchdiffeq")
    from starflow_v.baselines.integrators import Adaptive

    other = matching_pipeline()
    other.integrator = Adaptive(1e-5, 1e-5)
    fine = other(PROMPT, generator=seeded(), output_type="latent")
    euler = other(PROMPT, generator=seeded(), num_inference_steps=200, output_type="latent")
    assert fine.deep.evaluations > 3 * 14
    assert_close(euler.frames, fine.frames, atol=0.02, rtol=0)
    with pytest.raises(ValueError, match=r"set pipe\.integrator"):
        pipe(PROMPT, solver=SequentialSolver())
    with pytest.raises(ValueError, match="give guidance_scale"):
        pipe(PROMPT, guidance=DensityGuidance(1.0))
    with pytest.raises(ValueError, match=r"temperature=0\.5 is for the noise of a flow"):
        pipe(PROMPT, temperature=0.5)
    with pytest.raises(ValueError, match="num_inference_steps=0"):
        pipe(PROMPT, num_inference_steps=0)


def test_longer_videos_restart(pipe) -> None:
    output = pipe(PROMPT, num_frames=25, num_inference_steps=1, output_type="latent")
    assert output.frames.shape[2] == 7
    # 4 frames with a cache of their past, then windows that begin with the last two
    assert output.deep.evaluations == (1 + 2 + 2 + 2) + (3 + 2) + 3


def test_a_prompt_that_changes_is_refused(pipe) -> None:
    with pytest.raises(ValueError, match="flow matching has one prompt"):
        pipe({0: PROMPT, 5: "a blue circle"}, generator=seeded())
