"""Edits by an instruction whose noise is the source's own, wholly or in part."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.pipelines.test_image_to_video import request, seeded
from tests.pipelines.test_video_to_video import (
    CLIP,
    LONG,
    PROMPT,
    SQUARE,
    Make,
    Pipe,
    encode,
    latents_of,
)

TASKS = ["video", "image", "extend", "v2v"]


@pytest.fixture(scope="module")
def edit(make_pipe: Make) -> Pipe:
    """Trained with 3 latent frames of a source and 3 of its target: clips of 9 frames."""
    pipe = Pipe.from_pipe(make_pipe(tasks=TASKS, window_frames=3))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def noise_of(frames: int) -> Tensor:
    return torch.randn(1, frames, 4, 2, 3, generator=seeded())


@torch.no_grad()
def test_told_nothing_every_chunk_gives_the_source_back(edit: Pipe) -> None:
    """The flow's answer is the noisy source, as long as the target frames known by then are."""
    noise = noise_of(30)
    arguments = request(prompt="", guidance_scale=0, latents=noise.transpose(1, 2))
    chunked = edit._begin_run(*edit._begin(arguments, LONG, None, 1.0, None))
    first, second = chunked.chunks[:2]
    assert [(it.known, it.made) for it in (first, second)] == [(0, 3), (2, 1)]
    run = chunked.begin(first, chunked.shown)
    made = torch.cat(list(run.shallow(run.deep(run.noise))), dim=1)
    assert_close(made, encode(edit, LONG[:9]) + 0.3 * noise[:, 6:9], atol=1e-4, rtol=0)
    own = encode(edit, LONG[4:13])
    run = chunked.begin(second, own[:, :2])
    made = torch.cat(list(run.shallow(run.deep(run.noise))), dim=1)
    assert_close(made, own[:, 2:] + 0.3 * noise[:, 15:16], atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_noise_of_a_chunk_knows_nothing_of_the_edit(edit: Pipe) -> None:
    """Behind edited frames the source's noise said how to get back to the source: after the first
    chunk what had become green was red again."""
    noise = noise_of(30)
    begun = edit._begin(request(latents=noise.transpose(1, 2)), LONG, None, 1.0, None)
    made = []
    for known in (encode(edit, CLIP)[:, 1:], encode(edit, LONG[4:13])[:, :2]):
        chunked = edit._begin_run(*begun)
        chunked.begin(chunked.chunks[0], chunked.shown)
        made.append(torch.cat(list(chunked.begin(chunked.chunks[1], known).noise), dim=1))
    assert_close(made[0], made[1])


def test_the_less_there_is_of_it_the_further_it_goes(edit: Pipe) -> None:
    own = {"prompt": "", "guidance_scale": 0}
    near = latents_of(edit, **own, fidelity=1)
    far = [
        (latents_of(edit, **own, fidelity=it) - near).square().mean() for it in (1, 0.99, 0.8, 0.3)
    ]
    assert far == sorted(far) and far[0] == 0 < far[1]


def test_none_of_it_is_any_noise(edit: Pipe) -> None:
    assert torch.equal(latents_of(edit, fidelity=0), latents_of(edit))


def test_streams_batches_and_calls_agree(edit: Pipe) -> None:
    options = {"fidelity": 0.9, "output_type": "latent"}
    whole = edit(LONG, PROMPT, generator=seeded(), **options).frames
    streamed = list(edit.stream(LONG, PROMPT, generator=seeded(), **options))
    assert_close(torch.cat(streamed, dim=2), whole, atol=1e-5, rtol=0)
    generators = [seeded(7), seeded()]
    both = edit(np.stack([LONG] * 2), PROMPT, generator=generators, **options).frames
    assert_close(both[1:], whole, atol=1e-4, rtol=0)


def test_the_model_says_what_is_usual(make_pipe: Make) -> None:
    own = {"edit_fidelity": 0.9, "edit_guidance_scale": 1.0, "guidance_scale": 3.0}
    pipe = Pipe.from_pipe(make_pipe(tasks=TASKS, window_frames=3, **own))
    pipe.set_progress_bar_config(disable=True)
    usual = latents_of(pipe)
    assert pipe.guidance_scale == 1.0
    assert torch.equal(usual, latents_of(pipe, fidelity=0.9, guidance_scale=1.0))
    anew = latents_of(pipe, mask=SQUARE)
    assert pipe.guidance_scale == 3.0, "what a mask hides is made as a new video is"
    assert torch.equal(anew, latents_of(pipe, mask=SQUARE, fidelity=0, guidance_scale=3.0))
    latents_of(pipe, strength=0.5)
    assert pipe.guidance_scale == 3.0, "inversion is guided as any video is"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fidelity": 1.5}, "fidelity=1.5: give a number from 0 .* to 1"),
        ({"fidelity": True}, "fidelity=True: give a number from 0 to 1, or None"),
        ({"fidelity": 0.5, "strength": 0.5}, "a strength and a fidelity"),
        ({"fidelity": 0.5, "latents": noise_of(6).transpose(1, 2)}, r"shape \(1, 4, 9, 2, 3\)"),
    ],
)
def test_bad_input_is_explained(edit: Pipe, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edit.stream(CLIP, PROMPT, **options)
