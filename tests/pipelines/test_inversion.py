"""A video as noise and back: exact, whatever its length."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import ContextWindow, JacobiSolver, StarFlowVPipeline
from starflow_v.data.pixels import to_frames
from starflow_v.pipelines.encoding import Encoding, interpolate, slerp
from tests.data.video_io.clips import Clip, disc_clip

Make = Callable[..., StarFlowVPipeline]

PROMPT = "a red circle moves right"
CLIP = disc_clip(9, 16, 24)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encode(pipe: StarFlowVPipeline, clip: Clip = CLIP, prompt: str = PROMPT) -> Encoding:
    return pipe.encode(clip, prompt, generator=seeded())


def latents_of(pipe: StarFlowVPipeline, clip: Clip) -> Tensor:
    """(1, c, T, h, w)."""
    with torch.no_grad():
        return pipe.codec.encode(to_frames([clip])).transpose(1, 2)


@pytest.mark.parametrize("length", [1, 9, 29])
@pytest.mark.parametrize("tasks", [["video"], ["video", "extend"]])
def test_there_and_back(make_pipe: Make, length: int, tasks: list[str]) -> None:
    """29 frames are eight latents, twice the window of the model."""
    pipe, clip = make_pipe(tasks=tasks), disc_clip(length, 16, 24)
    encoding = encode(pipe, clip)
    clean = latents_of(pipe, clip)
    back = pipe.decode(encoding, output_type="latent").frames
    assert_close(back, clean, atol=1e-4, rtol=0)
    frames = pipe.decode(encoding, output_type="pt").frames
    with torch.no_grad():
        own = (pipe.codec.decode(clean.transpose(1, 2)) + 1) / 2
    assert_close(frames, own, atol=1e-3, rtol=0)


def test_the_noise_is_that_of_the_flow_and_what_was_added_is_told(pipe: StarFlowVPipeline) -> None:
    encoding = encode(pipe)
    text, _ = pipe.encode_prompt(PROMPT)
    x = (latents_of(pipe, CLIP) + encoding.added).transpose(1, 2)
    with torch.no_grad():
        z = pipe.flow(x, text).z.transpose(1, 2)
    assert_close(encoding.noise, z, atol=1e-4, rtol=1e-4)
    assert 0.2 < float(encoding.added.std()) < 0.4
    assert (encoding.height, encoding.width, encoding.frame_rate) == (16, 24, 8)
    assert_close(pipe.encode(CLIP, PROMPT, generator=seeded()).noise, encoding.noise)


def test_a_pipelines_call_makes_the_video_of_the_noise(pipe: StarFlowVPipeline) -> None:
    """As `latents`, and cleaned by the denoiser."""
    encoding = encode(pipe)
    options = {"latents": encoding.noise, "guidance_scale": 0, "output_type": "latent"}
    expected = pipe(PROMPT, **options).frames
    made = pipe.decode(encoding, denoise=True, output_type="latent").frames
    assert_close(made, expected, atol=1e-5, rtol=0)
    bare = pipe.decode(encoding.noise, PROMPT, denoise=True, output_type="latent").frames
    assert_close(bare, expected, atol=1e-5, rtol=0)


def test_a_bare_noise_gives_the_noisy_latents(pipe: StarFlowVPipeline) -> None:
    encoding = encode(pipe)
    noisy = pipe.decode(encoding.noise, PROMPT, output_type="latent").frames
    assert_close(noisy, latents_of(pipe, CLIP) + encoding.added, atol=1e-4, rtol=0)


def test_any_solver_and_window(pipe: StarFlowVPipeline) -> None:
    window = ContextWindow(2, 1)
    encoding = pipe.encode(CLIP, PROMPT, generator=seeded(), window=window)
    assert encoding.window == window
    solver = JacobiSolver(block_size=3, tolerance=0)
    back = pipe.decode(encoding, output_type="latent", solver=solver)
    assert_close(back.frames, latents_of(pipe, CLIP), atol=1e-4, rtol=0)
    assert back.deep.evaluations > 0


def test_another_caption_makes_another_video(pipe: StarFlowVPipeline) -> None:
    encoding = encode(pipe)
    other = pipe.decode(encoding, "a blue circle", output_type="latent").frames
    assert not torch.allclose(other, latents_of(pipe, CLIP), atol=1e-3)


def test_from_one_video_to_another(pipe: StarFlowVPipeline) -> None:
    a, b = encode(pipe), encode(pipe, CLIP[::-1].copy())
    way = interpolate(a, b, steps=3)
    assert [e.prompt for e in way] == [PROMPT] * 3
    for encoding, clip in ((way[0], CLIP), (way[-1], CLIP[::-1].copy())):
        back = pipe.decode(encoding, output_type="latent").frames
        assert_close(back, latents_of(pipe, clip), atol=1e-4, rtol=0)


def test_between_two_prompts_one_must_be_told(pipe: StarFlowVPipeline) -> None:
    """Both ends had lost theirs, too, and the error said that two had been given."""
    a, b = encode(pipe), replace(encode(pipe, CLIP[::-1].copy()), prompt="a blue circle")
    way = interpolate(a, b, steps=3)
    assert [e.prompt for e in way] == [PROMPT, None, "a blue circle"]
    with pytest.raises(ValueError, match=r"between two prompts.*decode\(noise, prompt\)"):
        pipe.decode(way[1])
    assert pipe.decode(way[1], PROMPT, output_type="latent").frames.shape == a.noise.shape


def test_the_way_is_an_arc() -> None:
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    half = math.sqrt(2)
    assert_close(slerp(a, b, 0.5), torch.tensor([[half, half]]))
    assert_close(slerp(a, b, 0.0), a)
    assert_close(slerp(a, b, 1.0), b)
    assert_close(slerp(a, a, 0.3), a)
    assert_close(slerp(a, 2 * a, 0.5), 1.5 * a)
    noise = torch.randn(2, 1, 4, 4, 4000 // 16, generator=seeded())
    middle = slerp(noise[:1], noise[1:], 0.5)
    assert float(middle.std()) == pytest.approx(1, abs=0.05)


def test_bad_input_is_explained(pipe: StarFlowVPipeline) -> None:
    encoding = encode(pipe)
    short = encode(pipe, CLIP[:5])
    with pytest.raises(ValueError, match="cannot be joined"):
        interpolate(encoding, short, steps=3)
    with pytest.raises(ValueError, match="steps=1"):
        interpolate(encoding, encoding, steps=1)
    with pytest.raises(ValueError, match="expected \\(videos, channels"):
        pipe.decode(torch.zeros(4, 3, 2, 3), PROMPT)
    with pytest.raises(ValueError, match="latents of shape"):
        pipe.decode(torch.zeros(1, 5, 3, 2, 3), PROMPT)
    with pytest.raises(ValueError, match="no prompt of its own"):
        pipe.decode(encoding.noise)
