"""Prompts that change along the way, through calls and streams of all tasks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    StarFlowVExtendPipeline,
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from starflow_v.flow.texts import Script
from starflow_v.pipelines.prompts import Prompt, changes, latent_changes, prompts_at
from tests.data.video_io.clips import disc_clip

Make = Callable[..., StarFlowVPipeline]

RED, BLUE = "a red circle moves right", "a blue circle"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(pipe: Any, prompt: object, *given: object, **options: object) -> Tensor:
    """(B, c, T, h, w)."""
    options = {"generator": seeded(), "output_type": "latent", "num_frames": 17} | options
    return pipe(*given, prompt, **options).frames


def same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, atol=1e-4, rtol=0))


def test_prompts_and_their_frames() -> None:
    both = [{0: "a", 9: "b"}, "c", {13: "e", 0: "d"}]
    assert changes(both) == [0, 9, 13]
    assert [prompts_at(both, frame) for frame in (0, 8, 9, 13)] == [
        ["a", "c", "d"],
        ["a", "c", "d"],
        ["b", "c", "d"],
        ["b", "c", "e"],
    ]
    assert prompts_at("c", 99) == ["c"]
    assert latent_changes(both, num_frames=17, factor=4) == {0: 0, 3: 9, 4: 13}


@pytest.mark.parametrize(
    ("frame", "begins", "latent"), [(1, 1, 1), (2, 1, 1), (3, 5, 2), (8, 9, 3), (16, 13, 4)]
)
def test_a_prompt_begins_with_the_nearest_latent_frame(
    frame: int, begins: int, latent: int
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert latent_changes({0: "a", frame: "b"}, num_frames=17, factor=4)[latent] == frame
    told = [str(warning.message) for warning in caught]
    assert told == [] if frame == begins else f"begins at frame {begins}" in told[0]


@pytest.mark.parametrize("frames", [(8, 9), (7, 10), (16, 15), (13, 16)])
def test_of_two_prompts_in_one_latent_frame_none_is_lost(frames: tuple[int, int]) -> None:
    """The first one was never told, while a warning said where it begins."""
    one, other = sorted(frames)
    prompt = {0: "a"} | dict.fromkeys(frames, "b")
    with pytest.raises(ValueError, match=f"frames {one} and {other}, .* put them 4 frames apart"):
        latent_changes([prompt, "c"], num_frames=17, factor=4)
    of_two_videos: list[Prompt] = [{0: "a", 9: "b"}, {0: "c", 8: "d"}]
    with pytest.warns(UserWarning, match="frame 8 begins at frame 9"):
        assert latent_changes(of_two_videos, num_frames=17, factor=4) == {0: 0, 3: 9}


@pytest.mark.parametrize("window", [None, ContextWindow(3, 1)])
def test_what_is_made_before_does_not_change(pipe: StarFlowVPipeline, window: Any) -> None:
    """But for the frame before, whose denoising looks one frame ahead."""
    told = latents(pipe, {0: RED, 9: BLUE}, window=window)
    assert told.shape[2] == 5
    plain = latents(pipe, RED, window=window)
    assert same(told[:, :, :2], plain[:, :, :2])
    assert not any(same(told[:, :, t], plain[:, :, t]) for t in (3, 4))
    assert same(told, latents(pipe, {0: RED, 9: BLUE, 13: BLUE}, window=window))
    assert same(plain, latents(pipe, {0: RED, 9: RED}, window=window))


def test_one_prompt_by_its_frame_is_a_prompt(pipe: StarFlowVPipeline) -> None:
    assert torch.equal(latents(pipe, {0: RED}), latents(pipe, RED))


def test_each_video_of_a_batch_has_its_own_changes(pipe: StarFlowVPipeline) -> None:
    prompts = [{0: RED, 9: BLUE}, BLUE, {0: BLUE, 5: RED}]
    batch = latents(pipe, prompts, generator=[seeded(i) for i in range(3)])
    for index, prompt in enumerate(prompts):
        assert same(latents(pipe, prompt, generator=seeded(index))[0], batch[index])
    assert latents(pipe, {0: RED, 5: BLUE}, num_videos_per_prompt=2).shape[0] == 2


@pytest.mark.parametrize("num_frames", [9, 29])
def test_a_stream_is_the_call(pipe: StarFlowVPipeline, num_frames: int) -> None:
    prompt = {0: RED, 5: BLUE}
    options = {"num_frames": num_frames, "output_type": "pt"}
    stream = torch.cat(list(pipe.stream(prompt, generator=seeded(), **options)), dim=1)
    assert_close(stream, latents(pipe, prompt, **options), atol=1e-5, rtol=0)


def test_the_denoiser_is_told_the_same(
    pipe: StarFlowVPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noisy latents are those of before; what cleans them has heard of the change."""
    heard: list[Tensor] = []
    denoise = type(pipe.denoiser).denoise_frames

    def listen(self: Any, frames: Any, text: Tensor) -> Any:
        heard.append(text)
        return denoise(self, frames, text)

    monkeypatch.setattr(type(pipe.denoiser), "denoise_frames", listen)
    latents(pipe, {0: RED, 5: BLUE}, num_frames=9)
    expected = [pipe.encode_prompt(prompt, conditions=None)[0] for prompt in (RED, BLUE)]
    assert len(heard) == 2
    for text, (told, other) in zip(heard, (expected, expected[::-1]), strict=True):
        assert_close(text, told)
        assert not torch.allclose(text, other)


def test_a_restart_is_told_the_prompt_of_its_time(make_pipe: Make) -> None:
    """A model that knows how to go on is told so, too."""
    pipe = make_pipe(tasks=["video", "extend"])
    told: list[tuple[str, object]] = []
    encode = pipe._encode

    def spy(prompts: Any, conditions: Any, length: int) -> Tensor:
        told.append((prompts[0], conditions.task))
        return encode(prompts, conditions, length)

    pipe._encode = spy  # type: ignore[method-assign]
    latents(pipe, {0: RED, 21: BLUE}, num_frames=33, guidance_scale=0)
    assert told == [(RED, None), (RED, "extend"), (BLUE, None), (BLUE, "extend")]


def test_an_image_and_a_clip_have_prompts_that_change(make_pipe: Make) -> None:
    """Frames are counted from the first that is seen, those that are given included."""
    pipe = make_pipe(tasks=["video", "image", "extend", "last"], window_frames=5)
    clip = disc_clip(9, 16, 24)
    animate = StarFlowVImageToVideoPipeline.from_pipe(pipe)
    extend = StarFlowVExtendPipeline.from_pipe(pipe)
    for maker, given, made, more in (
        (animate, clip[0], 1, {}),
        (animate, clip[0], 1, {"last_image": clip[8]}),
        (extend, clip, 9, {"num_frames": 8}),
    ):
        maker.set_progress_bar_config(disable=True)
        plain = latents(maker, RED, given, **more)
        told = latents(maker, {0: RED, 13: BLUE}, given, **more)
        assert told.shape[2] == 5
        assert same(told[:, :, :3], plain[:, :, :3])
        assert not same(told[:, :, 4], plain[:, :, 4])
        assert same(latents(maker, {0: BLUE, made: RED}, given, **more), plain)


def test_frames_that_are_hidden_do_not_count(make_pipe: Make) -> None:
    """A clip of 7 frames is encoded as 9, the first one three times."""
    extend = StarFlowVExtendPipeline.from_pipe(make_pipe(tasks=["video", "extend"]))
    prompts = {0: RED, 11: BLUE}
    plan, known = extend._begin(extend_request(prompts, num_frames=8), disc_clip(7, 16, 24))
    later = extend._later(plan, first=known.shown.shape[1] - known.prefix.shape[1], hidden=2)
    assert isinstance(later, Script)
    assert known.hidden == 2
    assert [part.start for part in later.parts] == [0, 4 - 1]


def extend_request(prompt: Any, *, num_frames: int) -> Any:
    from dataclasses import replace

    from tests.pipelines.test_image_to_video import request

    return replace(request(num_frames=num_frames), prompt=prompt)


def test_an_edit_has_one_prompt(make_pipe: Make) -> None:
    edit = StarFlowVVideoToVideoPipeline.from_pipe(make_pipe(tasks=["video", "v2v"]))
    for strength in (None, 0.5):
        with pytest.raises(ValueError, match="an edited clip has one prompt"):
            edit(disc_clip(9, 16, 24), {0: RED, 5: BLUE}, strength=strength)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({5: RED}, "give one for frame 0"),
        ({}, "give one for frame 0"),
        ({0: RED, 17: BLUE}, "frame 17 of a video with 17 frames"),
        ({0: RED, -4: BLUE}, "-4 is no frame"),
        ({0: RED, "5": BLUE}, "'5' is no frame"),
        ({0: RED, 5: 3}, "for frame 5 must be a string"),
        ([{0: RED}, 3], "prompt must be a string, a dictionary"),
    ],
)
def test_bad_prompts_are_explained(pipe: StarFlowVPipeline, prompt: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe.stream(prompt, num_frames=17)
