"""Image to video: what is given opens the video and is what the flow goes on from."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    JacobiSolver,
    StarFlowVExtendPipeline,
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
)
from starflow_v.data.pixels import to_frames
from starflow_v.pipelines.known import Known
from starflow_v.pipelines.request import Request
from tests.data.video_io.clips import disc_clip
from tests.test_golden import GOLDEN, load

Make = Callable[..., StarFlowVPipeline]
Pipe = StarFlowVImageToVideoPipeline

PROMPT = "a red circle moves right"
IMAGE = disc_clip(3, 16, 24)[1]
LAST = disc_clip(3, 16, 24)[2]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def animate(make_pipe: Make) -> Pipe:
    tasks = ["video", "image", "extend", "last"]
    pipe = Pipe.from_pipe(make_pipe(tasks=tasks))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: Pipe, image: object = IMAGE, prompt: object = PROMPT, **options: object) -> Tensor:
    options = {"generator": seeded(), "output_type": "pt"} | options
    return pipe(image, prompt, **options).frames


def codec_frame(pipe: Pipe, image: np.ndarray) -> Tensor:
    """The codec's own reconstruction, (3, H, W) in [0, 1]."""
    latents = pipe.codec.encode(to_frames([image[None]]))
    return (pipe.codec.decode(latents)[0, 0].detach() + 1) / 2


def test_the_image_is_the_first_frame(animate: Pipe) -> None:
    frames = run(animate)
    assert frames.shape == (1, 9, 3, 16, 24)
    assert_close(frames[0, 0], codec_frame(animate, IMAGE), atol=1e-5, rtol=0)


def test_a_single_frame_is_the_image(animate: Pipe) -> None:
    assert_close(run(animate, num_frames=1)[0, 0], codec_frame(animate, IMAGE), atol=1e-5, rtol=0)


@torch.no_grad()
def test_it_is_the_flow_with_a_noised_prefix(animate: Pipe) -> None:
    """Its latents are those of the flow's own prefix: frame 0 of the noise is what is added."""
    noise = torch.randn(1, 3, 4, 2, 3, generator=seeded())
    clean = animate.codec.encode(to_frames([IMAGE[None]]))
    prefix = clean + 0.3 * noise[:, :1]
    text, null_text = animate.encode_prompt(PROMPT)
    flow = animate.flow.solve(
        noise,
        text,
        null_text=null_text,
        guidance=animate._plan(request()).guidance,
        prefix=prefix,
    ).latents
    cleaned = animate.denoiser.denoise(flow, text)
    latents = run(animate, latents=noise.transpose(1, 2), output_type="latent").transpose(1, 2)
    assert_close(latents[:, :1], clean)
    assert_close(latents[:, 1:], cleaned[:, 1:], atol=1e-4, rtol=0)


def request(**changes: object) -> Request:
    empty = {field.name: None for field in fields(Request) if field.default is MISSING}
    return Request(
        **empty | {"prompt": PROMPT, "num_videos_per_prompt": 1, "output_type": "pt"} | changes
    )


@torch.no_grad()
def test_golden(animate: Pipe, make_pipe: Make) -> None:
    """The released implementation's image to video, through the stages of the pipeline.

    Its image is noisy already, so nothing is added here.
    """
    golden = load("video")
    io = load_file(GOLDEN / "video" / "io.safetensors")
    pipe = make_pipe(noise_std=0.0, window_frames=99)
    pipe.register_modules(flow=golden.flow, denoiser=None)
    noise = io["noise"]
    frames, (height, width) = noise.shape[1], noise.shape[-2:]
    factor = pipe.codec.spatial_factor
    plan = pipe._plan(
        request(
            prompt=None,
            prompt_embeds=io["text"],
            negative_prompt_embeds=io["text_null"],
            guidance_scale=float(io["sample.guidance_weight"]),
            num_frames=1 + 4 * (frames - 1),
            height=factor * height,
            width=factor * width,
            latents=noise.transpose(1, 2),
        )
    )
    run = pipe._prepare(plan, Known(prefix=io["i2v.image"], shown=io["i2v.image"]))
    made = torch.cat(list(run.shallow(run.deep(run.noise))), dim=1)
    assert_close(torch.cat((run.shown, made), dim=1), io["i2v.sample"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("num_frames", [1, 9, 29])
def test_stream_is_the_call(animate: Pipe, num_frames: int) -> None:
    chunks = list(
        animate.stream(IMAGE, PROMPT, num_frames=num_frames, generator=seeded(), output_type="pt")
    )
    assert [chunk.shape[1] for chunk in chunks] == [1] + [4] * ((num_frames - 1) // 4)
    assert_close(torch.cat(chunks, dim=1), run(animate, num_frames=num_frames), atol=1e-5, rtol=0)


def test_the_image_is_streamed_before_any_work(
    animate: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animate.flow, "solve_deep", None)
    first = next(animate.stream(IMAGE, PROMPT, generator=seeded(), output_type="pt"))
    assert_close(first[0, 0], codec_frame(animate, IMAGE), atol=1e-5, rtol=0)


def test_a_sample_does_not_depend_on_its_batch(animate: Pipe) -> None:
    images, prompts = [IMAGE, LAST], [PROMPT, "a blue circle"]
    batch = run(animate, images, prompts, generator=[seeded(0), seeded(1)])
    for index in range(2):
        alone = run(animate, images[index], prompts[index], generator=[seeded(index)])
        assert_close(alone[0], batch[index], atol=1e-4, rtol=0)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("prompts", [1, 2])
@pytest.mark.parametrize("embedded", [False, True])
def test_images_and_prompts_are_paired(
    animate: Pipe, images: int, prompts: int, embedded: bool
) -> None:
    given, told = [IMAGE, LAST][:images], [PROMPT, "a blue circle"][:prompts]
    videos = 2 * max(images, prompts)
    generator = [seeded(i) for i in range(videos)]
    options: dict[str, object] = {}
    if embedded:
        text, null_text = animate.encode_prompt(told)
        options = {"prompt": None, "prompt_embeds": text, "negative_prompt_embeds": null_text}
    options = {"prompt": told, "num_videos_per_prompt": 2, "generator": generator} | options
    frames = run(animate, given, **options)
    assert frames.shape[0] == videos
    for index in range(videos):
        image, prompt = given[index // 2 % images], told[index // 2 % prompts]
        alone = run(animate, image, prompt, generator=[seeded(index)])
        assert_close(alone[0], frames[index], atol=1e-4, rtol=0)


def test_solvers_agree(animate: Pipe) -> None:
    solver = JacobiSolver(block_size=3, tolerance=0)
    assert_close(run(animate, solver=solver), run(animate), atol=1e-4, rtol=0)


def test_noise_does_not_change_what_text_to_video_draws(animate: Pipe) -> None:
    """Frame t of the noise is the same in both: here both begin with the same frame."""
    text = StarFlowVPipeline.from_pipe(animate)
    text.set_progress_bar_config(disable=True)
    drawn = []
    for pipe, known in (
        (text, None),
        (animate, animate._begin(request(generator=seeded()), IMAGE, None)[1]),
    ):
        run = pipe._prepare(pipe._plan(request(generator=seeded())), known)
        drawn.append(torch.cat(list(run.noise), dim=1))
    assert torch.equal(drawn[0][:, 1:], drawn[1])


def test_a_long_video_restarts_and_tells_so(animate: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    encode = type(animate)._encode

    def spy(self: Pipe, prompts: list[str], conditions: object, length: int) -> Tensor:
        told.append(conditions.task)
        return encode(self, prompts, conditions, length)

    monkeypatch.setattr(type(animate), "_encode", spy)
    long = run(animate, num_frames=33, output_type="latent")
    assert long.shape[2] == 9
    assert told == [None, None, "extend", "extend"]
    monkeypatch.undo()
    short = run(animate, num_frames=9, output_type="latent")
    assert_close(long[:, :, :2], short[:, :, :2], atol=1e-4, rtol=0)
    same = run(animate, num_frames=33, output_type="latent", window=ContextWindow(3, 2))
    assert_close(long, same)


def test_a_model_that_cannot_go_on_is_told_the_same_after_a_restart(make_pipe: Make) -> None:
    """The released models' arithmetic: one caption, and the window that they were trained with."""
    pipe = make_pipe()
    assert not pipe.extends
    plan = pipe._plan(request(num_frames=33))
    assert plan.window == ContextWindow(4, 2)
    assert pipe._restart_texts(plan) is None


def test_the_last_image_is_committed_first_and_not_shown(animate: Pipe) -> None:
    frames = run(animate, last_image=LAST)
    assert frames.shape == (1, 9, 3, 16, 24)
    assert_close(frames[0, 0], codec_frame(animate, IMAGE), atol=1e-5, rtol=0)
    assert not torch.allclose(frames[:, 1:], run(animate)[:, 1:], atol=1e-3)
    both = run(animate, [IMAGE, LAST], last_image=LAST, generator=[seeded(), seeded(1)])
    assert_close(both[:1], frames, atol=1e-4, rtol=0)
    plan, known = animate._begin(request(), IMAGE, LAST)
    assert (plan.task, known.prefix.shape[1], known.shown.shape[1]) == ("last", 2, 1)
    assert_close(known.prefix[:, 1:], known.shown)


def test_callbacks_see_the_image_and_may_replace_everything(animate: Pipe) -> None:
    seen = []

    def watch(pipeline: Pipe, step: int, timestep: int, tensors: dict) -> dict:
        seen.append((step, tensors["latents"].shape[2]))
        return {"latents": torch.zeros_like(tensors["latents"])}

    assert not run(animate, callback_on_step_end=watch, output_type="latent").any()
    assert seen == [(0, 2), (1, 3)]
    assert animate.num_timesteps == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(make_pipe: Make, animate: Pipe, dtype: torch.dtype) -> None:
    pipe = Pipe(**make_pipe().components, **settings_of(animate)).to(dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    assert_close(run(pipe), run(animate), atol=0.05, rtol=0)


def test_model_offload(make_pipe: Make, animate: Pipe) -> None:
    pipe = Pipe(**make_pipe().components, **settings_of(animate))
    pipe.set_progress_bar_config(disable=True)
    pipe.enable_model_cpu_offload(device="cpu")
    for _ in range(2):
        assert_close(run(pipe), run(animate))
    with pytest.raises(ValueError, match="enable_group_offload"):
        pipe.stream(IMAGE, PROMPT)


def settings_of(pipe: Pipe) -> dict[str, object]:
    return {k: v for k, v in pipe.config.items() if k[0] != "_" and k not in pipe.components}


def test_images_of_every_kind_and_size(animate: Pipe, tmp_path: Path) -> None:
    expected = run(animate)
    Image.fromarray(IMAGE).save(tmp_path / "image.png")
    tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)
    kinds = [
        Image.fromarray(IMAGE),
        tensor / 255,
        tensor[None],
        IMAGE[None],
        tmp_path / "image.png",
        str(tmp_path / "image.png"),
        [IMAGE],
    ]
    for image in kinds:
        assert_close(run(animate, image), expected, atol=1e-4, rtol=0)
    assert run(animate, disc_clip(1, 30, 90)[0]).shape[-2:] == animate.nearest_size(30, 90)
    assert run(animate, disc_clip(1, 90, 30)[0], width=16, height=8).shape[-2:] == (8, 16)


def test_a_size_is_one_that_the_model_knows(make_pipe: Make) -> None:
    varied, fixed = make_pipe(), make_pipe(conditions=["fps"])
    assert varied.nearest_size(300, 400) == (16, 24)  # the model's own ratio: its own size
    height, width = varied.nearest_size(160, 90)
    assert height > width
    assert fixed.nearest_size(160, 90) == (16, 24)


def test_a_rotated_photo_is_turned_upright(animate: Pipe, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(IMAGE).copy()).save(tmp_path / "a.png", exif=exif)
    assert_close(run(animate, tmp_path / "a.png"), run(animate), atol=1e-4, rtol=0)


def test_a_folder_of_text_to_video_is_read(make_pipe: Make, tmp_path: Path) -> None:
    make_pipe().save_pretrained(tmp_path)
    loaded = Pipe.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.defaults == make_pipe().defaults
    again = Pipe.from_pipe(make_pipe())
    again.set_progress_bar_config(disable=True)
    assert_close(run(loaded), run(again))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": []}, "empty list"),
        ({"image": None}, "image is NoneType"),
        ({"image": 3}, "image is int"),
        ({"image": "missing.png"}, "cannot be opened"),
        ({"image": "https://example.org/a.png"}, "only files on this disk"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, "expected"),
        ({"image": np.full((4, 4, 3), -1.0)}, r"expected \[0, 1\]"),
        ({"image": [IMAGE, LAST], "prompt": [PROMPT] * 3}, "2 images and 3 prompts"),
        ({"height": 20}, "multiples of 8"),
        ({"last_image": [LAST, LAST, LAST]}, "3 last images were given for 1"),
        ({"last_image": LAST, "num_frames": 33}, "2 to 13 frames"),
        ({"last_image": LAST, "num_frames": 1}, "2 to 13 frames"),
        ({"latents": torch.zeros(1, 4, 2, 2, 3)}, r"\(1, 4, 3, 2, 3\)"),
    ],
)
def test_bad_input_is_explained(animate: Pipe, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        animate.stream(**{"image": IMAGE, "prompt": PROMPT} | options)


def test_a_last_image_needs_a_model_that_was_trained_for_it(make_pipe: Make) -> None:
    pipe = Pipe.from_pipe(make_pipe())
    with pytest.raises(ValueError, match="its tasks are video, image; it would need last"):
        pipe.stream(IMAGE, PROMPT, last_image=LAST)


@pytest.mark.parametrize("task", [StarFlowVImageToVideoPipeline, StarFlowVExtendPipeline])
def test_signatures_agree(task: type) -> None:
    """What is not a task's own is named, ordered and preset as in text to video, and in Wan."""

    def parameters(function: Callable) -> dict[str, object]:
        return {k: v.default for k, v in inspect.signature(function).parameters.items()}

    for method in ("__call__", "stream"):
        theirs = parameters(getattr(StarFlowVPipeline, method))
        ours = parameters(getattr(task, method))
        assert {**ours, **theirs} == ours
        assert [name for name in ours if name in theirs] == list(theirs)
        only_streamed = {"stages"} if method == "__call__" else set()
        assert ours.keys() >= set(Request.__dataclass_fields__) - only_streamed
    wan = parameters(WanImageToVideoPipeline.__call__)
    ours = parameters(task.__call__)
    assert [name for name in ours if name in wan] == [name for name in wan if name in ours]
