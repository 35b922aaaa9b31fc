"""Extension: the clip's own frames, then others that go on from its end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    JacobiSolver,
    StarFlowVExtendPipeline,
    StarFlowVPipeline,
)
from starflow_v.data.pixels import to_frames
from tests.data.video_io.clips import Clip, disc_clip, make_video
from tests.pipelines.test_image_to_video import request

Make = Callable[..., StarFlowVPipeline]
Pipe = StarFlowVExtendPipeline

PROMPT = "a red circle moves right"
CLIP = disc_clip(9, 16, 24)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def extend(make_pipe: Make) -> Pipe:
    tasks = ["video", "image", "extend"]
    pipe = Pipe.from_pipe(make_pipe(tasks=tasks))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: Pipe, video: object = CLIP, prompt: object = PROMPT, **options: object) -> Tensor:
    options = {"generator": seeded(), "output_type": "pt"} | options
    return pipe(video, prompt, **options).frames


@torch.no_grad()
def through_codec(pipe: Pipe, clip: Clip) -> Tensor:
    """The codec's own reconstruction, (F, 3, H, W) in [0, 1]."""
    return (pipe.codec.decode(pipe.codec.encode(to_frames([clip])))[0] + 1) / 2


def test_the_clip_comes_first_and_goes_on(extend: Pipe) -> None:
    frames = run(extend)
    assert frames.shape == (1, 9 + 8, 3, 16, 24)
    assert_close(frames[0, :9], through_codec(extend, CLIP), atol=1e-5, rtol=0)
    assert run(extend, num_frames=20).shape[1] == 9 + 20


@torch.no_grad()
def test_it_is_the_flow_with_the_clips_last_latents_as_prefix(extend: Pipe) -> None:
    """The first latent frame, unlike all others, is not among them, and the caption says so."""
    noise = torch.randn(1, 3, 4, 2, 3, generator=seeded())
    clean = extend.codec.encode(to_frames([CLIP]))[:, 1:]
    text, _ = extend.encode_prompt(PROMPT, conditions=extend.conditions_for(task="extend"))
    assert not torch.equal(text, extend.encode_prompt(PROMPT)[0])
    flow = extend.flow.solve(noise, text, prefix=clean + 0.3 * noise[:, :2]).latents
    cleaned = extend.denoiser.denoise(flow, text)
    options = {"latents": noise.transpose(1, 2), "guidance_scale": 0, "output_type": "latent"}
    latents = run(extend, num_frames=4, **options).transpose(1, 2)
    assert latents.shape[1] == 4
    assert_close(latents[:, 1:3], clean)
    assert_close(latents[:, 3:], cleaned[:, 2:], atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_noise_of_a_clip_gives_its_end_back(extend: Pipe) -> None:
    """What the flow says of a whole clip, and what it makes after the clip's beginning, agree."""
    text, _ = extend.encode_prompt(PROMPT, conditions=extend.conditions_for(task="extend"))
    eps = torch.randn(1, 3, 4, 2, 3, generator=seeded())
    x = extend.codec.encode(to_frames([disc_clip(13, 16, 24)]))[:, 1:] + 0.3 * eps
    z = extend.flow(x, text).z
    noise = torch.cat((eps[:, :2], z[:, 2:]), dim=1).transpose(1, 2)
    plan, known = extend._begin(request(num_frames=4, guidance_scale=0, latents=noise), CLIP)
    run = extend._prepare(
        replace(plan, window=None), replace(known, prefix=x[:, :2] - 0.3 * eps[:, :2])
    )
    made = torch.cat(list(run.shallow(run.deep(run.noise))), dim=1)
    assert_close(made, x[:, 2:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6, 7, 8, 9])
def test_a_clip_of_any_length_ends_where_it_ends(extend: Pipe, length: int) -> None:
    """Copies of the first frame fill it up to 1 + 4k; they are not shown."""
    clip = disc_clip(9, 16, 24)[:length]
    frames = run(extend, clip, num_frames=4)
    assert frames.shape[1] == length + 4
    copies = np.repeat(clip[:1], (1 - length) % 4, axis=0)
    expected = through_codec(extend, np.concatenate((copies, clip)))[len(copies) :]
    assert_close(frames[0, :length], expected, atol=1e-5, rtol=0)
    stream = extend.stream(clip, PROMPT, num_frames=4, generator=seeded(), output_type="pt")
    assert_close(torch.cat(list(stream), dim=1), frames, atol=1e-5, rtol=0)


def test_any_length_can_be_added(extend: Pipe) -> None:
    """Every restart of the window is one more extension, told by the same caption."""
    long = run(extend, num_frames=40)
    assert long.shape[1] == 9 + 40
    short = run(extend, num_frames=8)  # its last latent frame lacks what the denoiser looks ahead
    assert_close(short[:, : 9 + 4], long[:, : 9 + 4], atol=1e-4, rtol=0)
    plan, known = extend._begin(request(num_frames=40), CLIP)
    assert (plan.window, plan.task) == (ContextWindow(3, 2), "extend")
    assert extend._restart_texts(plan) is None
    assert known.prefix.shape[1] == 2


def test_only_the_end_of_a_clip_is_gone_on_from(extend: Pipe) -> None:
    """As many latents as the window carries over a restart; the decoder is given all."""
    long = np.concatenate((disc_clip(8, 16, 24)[::-1], CLIP))
    for overlap in (1, 2):
        window = ContextWindow(3, overlap)
        plan, known = extend._begin(request(window=window), long)
        assert (plan.window, known.shown.shape[1]) == (window, 5)
        assert_close(known.prefix, known.shown[:, -overlap:])


def test_a_sample_does_not_depend_on_its_batch(extend: Pipe) -> None:
    clips = np.stack([CLIP, CLIP[::-1]])
    prompts = [PROMPT, "a blue circle"]
    batch = run(extend, clips, prompts, generator=[seeded(0), seeded(1)])
    for index in range(2):
        alone = run(extend, clips[index], prompts[index], generator=[seeded(index)])
        assert_close(alone[0], batch[index], atol=1e-4, rtol=0)
    assert run(extend, clips, num_videos_per_prompt=2).shape[0] == 4


def test_solvers_agree(extend: Pipe) -> None:
    solver = JacobiSolver(block_size=3, tolerance=0)
    assert_close(run(extend, solver=solver), run(extend), atol=1e-4, rtol=0)


def test_clips_of_every_kind(extend: Pipe, tmp_path: Path) -> None:
    expected = run(extend)
    tensor = torch.from_numpy(CLIP).permute(0, 3, 1, 2)
    pictures = [Image.fromarray(frame) for frame in CLIP]
    for video in (pictures, list(CLIP), tensor, tensor / 255, tensor[None], [CLIP], [pictures]):
        assert_close(run(extend, video), expected, atol=1e-4, rtol=0)
    path = make_video(tmp_path / "clip.mp4", disc_clip(20, 32, 48), fps=16)
    assert run(extend, path, num_frames=4).shape == (1, 10 + 4, 3, 16, 24)  # at the model's 8 fps
    both = run(extend, [path, str(path)], num_frames=4, frame_rate=16, generator=[seeded()] * 2)
    assert both.shape == (2, 20 + 4, 3, 16, 24)


@pytest.mark.parametrize(("asked", "added"), [(1, 4), (3, 4), (5, 8)])
def test_what_is_added_is_rounded_up_with_a_warning(extend: Pipe, asked: int, added: int) -> None:
    with pytest.warns(UserWarning, match=f"{added} frames will be added"):
        assert extend.whole_addition(asked) == added


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video": []}, "empty list"),
        ({"video": None}, "video is NoneType"),
        ({"video": CLIP[0]}, "expected a clip"),
        ({"video": CLIP[:1]}, "at least 2, or animate it"),
        ({"video": "missing.mp4"}, "cannot be opened"),
        ({"video": "concat:a|b"}, "no protocols"),
        ({"video": [CLIP, CLIP[:5]]}, "clips of 5, 9 frames"),
        ({"video": np.stack([CLIP] * 2), "prompt": [PROMPT] * 3}, "2 clips and 3 prompts"),
        ({"window": ContextWindow(3, 0)}, "with an overlap"),
        ({"width": 20}, "multiples of 8"),
    ],
)
def test_bad_input_is_explained(extend: Pipe, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extend.stream(**{"video": CLIP, "prompt": PROMPT} | options)


def test_files_that_are_no_clips_are_refused(extend: Pipe, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", CLIP).read_bytes()
    files = {
        "empty.mp4": b"",
        "cut.mp4": whole[:100],
        "text.mp4": b"hello",
        "list.mp4": b"ffconcat version 1.0\nfile whole.mp4\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            extend.stream(tmp_path / name, PROMPT)
    sound = make_video(tmp_path / "sound.mp4", CLIP[:0], sound=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"sound\.mp4"):
        extend.stream(sound, PROMPT)


def test_a_model_must_have_learned_to_go_on(make_pipe: Make) -> None:
    with pytest.raises(ValueError, match="its tasks are video, image; it would need extend"):
        Pipe.from_pipe(make_pipe()).stream(CLIP, PROMPT)
