"""Video to video: by an instruction, with the clip as the prefix, and by inversion."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    JacobiSolver,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from starflow_v.data.pixels import hide, to_frames
from starflow_v.pipelines.chunks import cut
from tests.data.video_io.clips import Clip, disc_clip, make_video
from tests.pipelines.test_image_to_video import request, seeded

Make = Callable[..., StarFlowVPipeline]
Pipe = StarFlowVVideoToVideoPipeline

PROMPT = "a blue circle"
CLIP = disc_clip(9, 16, 24)
LONG = disc_clip(21, 16, 24)
SQUARE = np.zeros((16, 24), bool)
SQUARE[4:12, 5:14] = True


@pytest.fixture(scope="module")
def make_edit(make_pipe: Make) -> Callable[..., Pipe]:
    def make(**settings: object) -> Pipe:
        tasks = ["video", "image", "extend", "v2v"]
        pipe = Pipe.from_pipe(make_pipe(**{"tasks": tasks, "window_frames": 3} | settings))
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture(scope="module")
def edit(make_edit: Callable[..., Pipe]) -> Pipe:
    """Trained with 3 latent frames of a source and 3 of its target: clips of 9 frames."""
    return make_edit()


def run(pipe: Pipe, video: object = CLIP, prompt: object = PROMPT, **options: object) -> Tensor:
    options = {"generator": seeded(), "output_type": "pt"} | options
    return pipe(video, prompt, **options).frames


def latents_of(pipe: Pipe, video: object = CLIP, **options: object) -> Tensor:
    return run(pipe, video, output_type="latent", **options).transpose(1, 2)


@torch.no_grad()
def encode(pipe: Pipe, clip: Clip) -> Tensor:
    return pipe.codec.encode(to_frames([clip]))


@torch.no_grad()
def told(pipe: Pipe) -> tuple[Tensor, Tensor]:
    """The embeddings of the instruction, and those of none."""
    text, null_text = pipe.encode_prompt(PROMPT, conditions=pipe.conditions_for(task="v2v"))
    assert null_text is not None and not torch.equal(text, pipe.encode_prompt(PROMPT)[0])
    return text, null_text


@torch.no_grad()
def test_it_is_the_flow_with_the_source_as_prefix(edit: Pipe) -> None:
    """The denoiser sees the noisy source as well; the target alone is decoded."""
    noise = torch.randn(1, 6, 4, 2, 3, generator=seeded())
    text, null_text = told(edit)
    flow = edit.flow.solve(
        noise,
        text,
        null_text=null_text,
        guidance=edit._plan(request()).guidance,
        prefix=encode(edit, CLIP) + 0.3 * noise[:, :3],
    ).latents
    expected = edit.denoiser.denoise(flow, text)[:, 3:]
    given = {"latents": noise.transpose(1, 2)}
    assert_close(latents_of(edit, **given), expected, atol=1e-4, rtol=0)
    decoded = (edit.codec.decode(expected) + 1) / 2
    assert_close(run(edit, **given), decoded, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_noise_of_a_pair_gives_its_target_back(edit: Pipe) -> None:
    """What the flow says of source and target, joined as in training, and what it makes, agree."""
    text, _ = told(edit)
    eps = torch.randn(1, 6, 4, 2, 3, generator=seeded())
    x = torch.cat((encode(edit, CLIP), encode(edit, CLIP[::-1].copy())), dim=1) + 0.3 * eps
    z = edit.flow(x, text).z
    noise = torch.cat((eps[:, :3], z[:, 3:]), dim=1).transpose(1, 2)
    arguments = request(prompt=PROMPT, guidance_scale=0, latents=noise)
    chunked = edit._begin_run(*edit._begin(arguments, CLIP, None, None, None))
    one = chunked.begin(chunked.chunks[0], chunked.shown)
    made = torch.cat(list(one.shallow(one.deep(one.noise))), dim=1)
    assert_close(made, x[:, 3:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("total", [1, 4, 5, 6, 7, 13])
@pytest.mark.parametrize("overlap", [1, 2, 4])
def test_chunks_cover_a_video_once_and_are_of_one_length(total: int, overlap: int) -> None:
    chunks = cut(total, length=5, overlap=overlap)
    made = [t for c in chunks for t in range(c.start + c.known, c.end)]
    assert made == list(range(total))
    if total > 5:
        assert all(c.end - c.start == 5 and c.known >= overlap for c in chunks[1:])


def test_a_clip_that_fits_a_longer_window_is_one_chunk(
    edit: Pipe, make_edit: Callable[..., Pipe]
) -> None:
    longer = make_edit(window_frames=5)
    window = ContextWindow(10, 2)
    made = latents_of(edit, LONG[:17], window=window)
    assert_close(made, latents_of(longer, LONG[:17]), atol=1e-4, rtol=0)
    assert not torch.allclose(made, latents_of(edit, LONG[:17]), atol=1e-2)


@torch.no_grad()
def test_a_later_chunk_begins_like_a_clip_of_the_training(edit: Pipe) -> None:
    """Its source and what is known of its target are encoded from their own first frames."""
    noise = torch.randn(1, 6 + 6, 4, 2, 3, generator=seeded())
    clip = LONG[:13]
    latents = latents_of(edit, clip, latents=noise.transpose(1, 2), guidance_scale=0)
    first = latents_of(edit, clip[:9], latents=noise[:, :6].transpose(1, 2), guidance_scale=0)
    assert_close(latents[:, :3], first)
    known = edit.codec.encode(edit.codec.decode(first)[:, 4:])
    text, _ = told(edit)
    prefix = torch.cat((encode(edit, clip[4:]), known), dim=1) + 0.3 * noise[:, 6:11]
    x = edit.flow.solve(noise[:, 6:], text, prefix=prefix).latents
    expected = edit.denoiser.denoise(x, text)[:, 5:]
    assert_close(latents[:, 3:], expected, atol=1e-4, rtol=0)


def test_a_short_clip_stands_still_in_the_prefix(edit: Pipe) -> None:
    """So that the target is at the place where it was in training."""
    still = np.concatenate([CLIP[:5], *[CLIP[4:5]] * 4])
    assert_close(latents_of(edit, CLIP[:5]), latents_of(edit, still)[:, :2], atol=1, rtol=0)
    plan, source = edit._begin(request(), CLIP[:5], None, None, None)
    assert plan.latent_frames == 2
    assert_close(edit._encode_part(source, 0, 1), encode(edit, still))


@pytest.mark.parametrize(
    "options",
    [
        {"video": CLIP[:2]},
        {"video": CLIP[:8]},
        {"video": LONG, "num_frames": 13},
        {"video": LONG[:10], "mask": SQUARE},
        {"video": LONG[:12], "strength": 0.5},
    ],
)
def test_the_stream_is_the_call_and_as_long_as_the_clip(edit: Pipe, options: dict) -> None:
    frames = run(edit, **options)
    assert frames.shape[1] == options.get("num_frames", len(options["video"]))
    stream = edit.stream(prompt=PROMPT, generator=seeded(), output_type="pt", **options)
    assert_close(torch.cat(list(stream), dim=1), frames, atol=1e-5, rtol=0)


def test_a_sample_does_not_depend_on_its_batch(edit: Pipe) -> None:
    clips, prompts = np.stack([LONG[:10], LONG[9::-1]]), [PROMPT, "a red circle"]
    for options in ({"mask": SQUARE}, {"strength": 0.5}):
        batch = run(edit, clips, prompts, generator=[seeded(0), seeded(1)], **options)
        for index in range(2):
            alone = run(edit, clips[index], prompts[index], generator=seeded(index), **options)
            assert_close(alone[0], batch[index], atol=1e-4, rtol=0)
    several = run(edit, clips[:, :5], num_videos_per_prompt=2, mask=SQUARE)
    assert several.shape[0] == 4 and not torch.equal(several[0], several[1])


def test_solvers_agree(edit: Pipe) -> None:
    solver = JacobiSolver(block_size=3, tolerance=0)
    for options in ({}, {"strength": 0.4}):
        made = latents_of(edit, LONG[:13], solver=solver, **options)
        assert_close(made, latents_of(edit, LONG[:13], **options), atol=1e-4, rtol=0)


def test_a_callback_counts_all_frames_and_changes_what_is_shown(edit: Pipe) -> None:
    seen = []

    def blacken(pipe: Pipe, step: int, _: int, tensors: dict) -> dict:
        seen.append((step, pipe.num_timesteps, tensors["latents"].shape[2]))
        return {"latents": torch.zeros_like(tensors["latents"])}

    made = latents_of(edit, LONG[:13], callback_on_step_end=blacken)
    assert seen == [(t, 4, t + 1) for t in range(4)]
    assert not made.any()


@pytest.mark.parametrize("length", [6, 13])
@pytest.mark.parametrize("guidance", [0, 2])
def test_strength_0_gives_the_clip_back(edit: Pipe, length: int, guidance: float) -> None:
    """Through restarts, guidance and the denoiser; frames are the codec's own reconstruction."""
    clip = LONG[:length]
    copies = (1 - length) % 4
    clean = encode(edit, np.concatenate([*[clip[:1]] * copies, clip]))
    options = {"strength": 0, "guidance_scale": guidance}
    assert_close(latents_of(edit, clip, **options), clean, atol=1e-4, rtol=0)
    decoded = (edit.codec.decode(clean).detach() + 1) / 2
    assert_close(run(edit, clip, **options), decoded[:, copies:], atol=1e-3, rtol=0)


def test_strength_1_forgets_the_clip(edit: Pipe) -> None:
    noise = torch.randn(1, 4, 6, 2, 3, generator=seeded())
    forgotten = run(edit, latents=noise, strength=1.0)
    made = StarFlowVPipeline.from_pipe(edit)(
        PROMPT, latents=noise[:, :, 3:], num_frames=9, output_type="pt"
    ).frames
    assert_close(forgotten, made, atol=1e-4, rtol=0)


def test_between_them_a_part_is_kept(edit: Pipe) -> None:
    clean = encode(edit, CLIP)
    far = [(latents_of(edit, strength=s) - clean).square().mean() for s in (0, 0.05, 0.3, 1)]
    assert far == sorted(far) and far[0] < 1e-6 < far[1]


def test_inversion_asks_for_no_training(make_pipe: Make) -> None:
    pipe = Pipe.from_pipe(make_pipe())
    with pytest.raises(ValueError, match="it would need v2v"):
        pipe.stream(CLIP, PROMPT)
    assert next(pipe.stream(CLIP, PROMPT, strength=0.5)).shape == (1, 1, 16, 24, 3)


def test_outside_a_mask_the_pixels_are_those_of_the_clip(edit: Pipe) -> None:
    for clip in (CLIP, LONG[:10]):
        frames = run(edit, clip, mask=SQUARE)
        made = (frames[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
        assert (made == clip)[:, ~SQUARE].all() and (made != clip)[:, SQUARE].mean() > 0.5


def test_a_mask_hides_the_source_as_in_training(edit: Pipe) -> None:
    """The first frame of an only draw is that of an edit of the hidden clip, if no denoiser looks
    at the frame after it there."""
    own = {name: it for name, it in edit.config.items() if name[0] != "_"}
    parts = {**edit.components, "denoiser": None}
    noisy = Pipe(**{**own, **parts, "decoder_cleans": True})
    noisy.set_progress_bar_config(disable=True)
    hidden = hide(CLIP, SQUARE)
    masked, plain = (latents_of(noisy, clip)[:, :1] for clip in (hidden, CLIP))
    filled = latents_of(noisy, mask=SQUARE, candidates=1)[:, :1]
    assert_close(filled, masked, atol=1e-5, rtol=0)
    assert not torch.allclose(masked, plain, atol=1e-3)


def test_a_mask_may_move(edit: Pipe) -> None:
    moving = np.zeros((9, 16, 24), bool)
    for index in range(9):
        moving[index, :, index : index + 4] = True
    made = (run(edit, mask=moving) * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()[0]
    assert (made == CLIP)[~moving].all() and (made != CLIP)[moving].any()


def test_a_mask_is_cropped_with_its_clip(edit: Pipe, tmp_path: Path) -> None:
    """The clip is wider than the video, and has 16 frames a second; the mask is of its size."""
    path = make_video(tmp_path / "clip.mp4", disc_clip(18, 32, 96), fps=16)
    mask = np.zeros((32, 96), bool)
    mask[:, 48:] = True
    frames = run(edit, path, mask=mask)
    assert frames.shape == (1, 9, 3, 16, 32)
    other = run(edit, path, mask=mask, generator=seeded(1))
    assert torch.equal(frames[..., :16], other[..., :16])
    assert not torch.allclose(frames[..., 16:], other[..., 16:], atol=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video": []}, "empty list"),
        ({"video": None}, "video is NoneType"),
        ({"video": CLIP[:0]}, "video has a clip without frames"),
        ({"video": CLIP[:1]}, "at least 2, or animate it"),
        ({"num_frames": 1}, "at least 2, or animate it"),
        ({"video": "missing.mp4"}, "cannot be opened"),
        ({"video": "concat:a|b"}, "no protocols"),
        ({"video": [CLIP, CLIP[:5]]}, "clips of 5, 9 frames"),
        ({"video": np.stack([CLIP] * 2), "prompt": [PROMPT] * 3}, "2 clips and 3 prompts"),
        ({"strength": 1.5}, "from 0 .* to 1"),
        ({"strength": -0.1}, "from 0 .* to 1"),
        ({"strength": float("nan")}, "from 0 .* to 1"),
        ({"strength": "much"}, "a number from 0 to 1"),
        ({"strength": 0.5, "mask": SQUARE}, "a mask and a strength"),
        ({"mask": SQUARE[:8]}, "24x8 pixels and the clip 24x16"),
        ({"window": ContextWindow(3, 1)}, "at least 4"),
        ({"window": ContextWindow(6, 0)}, "and an overlap"),
        ({"width": 20}, "multiples of 8"),
        ({"latents": torch.zeros(1, 4, 3, 2, 3)}, r"noise has shape \(1, 4, 6, 2, 3\)"),
    ],
)
def test_bad_input_is_explained(edit: Pipe, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edit.stream(**{"video": CLIP, "prompt": PROMPT} | options)
