"""The temperature of the noise: what is made is surer and less varied, what is given stays."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    StarFlowVExtendPipeline,
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from tests.pipelines.test_image_to_video import IMAGE, seeded
from tests.pipelines.test_video_to_video import CLIP, PROMPT, Make

TASKS = ["video", "image", "extend", "v2v"]
CALLS = {
    "words": (StarFlowVPipeline, (PROMPT,), 0, 3),
    "an image": (StarFlowVImageToVideoPipeline, (IMAGE, PROMPT), 1, 2),
    "a clip to edit": (StarFlowVVideoToVideoPipeline, (CLIP, PROMPT), 3, 3),
}
"""Start -> pipeline, what it is given, and how many frames of the noise are added to what is known
and how many are made of."""


@pytest.fixture(scope="module")
def model(make_pipe: Make) -> StarFlowVPipeline:
    return make_pipe(tasks=TASKS, window_frames=3)


def of_kind(kind: type, model: StarFlowVPipeline) -> StarFlowVPipeline:
    pipe = kind.from_pipe(model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents_of(pipe: StarFlowVPipeline, given: tuple, **options: object) -> Tensor:
    return pipe(*given, output_type="latent", **{"generator": seeded()} | options).frames


@pytest.mark.parametrize("start", CALLS)
def test_it_multiplies_the_noise_of_what_is_made(model: StarFlowVPipeline, start: str) -> None:
    kind, given, known, made = CALLS[start]
    pipe = of_kind(kind, model)
    noise = torch.randn(1, 4, known + made, 2, 3, generator=seeded())
    cooler = torch.cat((noise[:, :, :known], 0.4 * noise[:, :, known:]), dim=2)
    cool = latents_of(pipe, given, latents=noise, temperature=0.4)
    assert_close(cool, latents_of(pipe, given, latents=cooler), atol=1e-6, rtol=0)
    assert (cool - latents_of(pipe, given, latents=noise)).abs().max() > 0.01


def test_at_zero_every_seed_makes_the_same_video(model: StarFlowVPipeline) -> None:
    pipe = of_kind(StarFlowVPipeline, model)
    one, other = (latents_of(pipe, (PROMPT,), temperature=0, generator=seeded(it)) for it in (0, 1))
    assert torch.equal(one, other)


def test_an_edit_with_the_noise_of_its_clip_is_cooled_too(model: StarFlowVPipeline) -> None:
    pipe = of_kind(StarFlowVVideoToVideoPipeline, model)
    edits = [latents_of(pipe, (CLIP, PROMPT), fidelity=1, temperature=it) for it in (1.0, 0.5)]
    assert (edits[0] - edits[1]).abs().max() > 0.01


def test_streams_and_calls_agree(model: StarFlowVPipeline) -> None:
    for kind, given in (
        (StarFlowVPipeline, (PROMPT,)),
        (StarFlowVImageToVideoPipeline, (IMAGE, PROMPT)),
        (StarFlowVExtendPipeline, (CLIP, PROMPT)),
        (StarFlowVVideoToVideoPipeline, (CLIP, PROMPT)),
    ):
        pipe = of_kind(kind, model)
        options = {"temperature": 0.5, "output_type": "pt"}
        streamed = torch.cat(list(pipe.stream(*given, generator=seeded(), **options)), dim=1)
        whole = pipe(*given, generator=seeded(), **options).frames
        assert_close(streamed, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), True, None, "1"])
def test_what_is_no_temperature_is_refused(model: StarFlowVPipeline, wrong: object) -> None:
    with pytest.raises(ValueError, match=r"temperature=.* is not valid: give a number from 0"):
        model(PROMPT, temperature=wrong)


def test_by_inversion_the_noise_is_the_clips_own(model: StarFlowVPipeline) -> None:
    pipe = of_kind(StarFlowVVideoToVideoPipeline, model)
    with pytest.raises(ValueError, match=r"a strength and a temperature of 0\.5"):
        pipe(CLIP, PROMPT, strength=0.5, temperature=0.5)
