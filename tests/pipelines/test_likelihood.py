"""Scores: exact, averaged over the noise, and comparable between captions."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from starflow_v import ContextWindow, StarFlowVPipeline
from starflow_v.data.pixels import to_frames
from starflow_v.pipelines.scores import Ranking, Score
from starflow_v.sampling.noise import noise_frames, seed_children
from tests.data.video_io.clips import disc_clip, make_video

Make = Callable[..., StarFlowVPipeline]

PROMPT = "a red circle moves right"
CLIP = disc_clip(9, 16, 24)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def score(pipe: StarFlowVPipeline, video: object = CLIP, **options: object) -> Score:
    return pipe.score(video, **{"prompt": PROMPT, "generator": seeded(), "draws": 2} | options)


@torch.no_grad()
def test_it_is_the_flows_own_likelihood(pipe: StarFlowVPipeline) -> None:
    """Each draw: latents, noise of one child of the generator, log p under the caption."""
    clean = pipe.codec.encode(to_frames([CLIP]))
    text, _ = pipe.encode_prompt(PROMPT)
    made = score(pipe)
    for child, log_prob in zip(seed_children(seeded(), 2), made.log_probs, strict=True):
        frames = noise_frames([child], (4, 2, 3), frames=3, device=clean.device)
        x = clean + 0.3 * torch.cat(list(frames), dim=1)
        assert_close(pipe.flow.log_prob(x, text)[0].double(), log_prob, atol=1e-3, rtol=0)
    bits = -made.log_probs.mean() / (clean.numel() * math.log(2))
    assert made.bits == pytest.approx(float(bits), abs=1e-6)


def test_frames_and_tokens_add_up(pipe: StarFlowVPipeline) -> None:
    made = score(pipe)
    assert made.token_bits.shape == (3, 2, 3)
    assert_close(made.token_bits.mean(dim=(1, 2)), made.frame_bits)
    assert float(made.frame_bits.mean()) == pytest.approx(made.bits)


def test_a_frame_has_the_same_bits_whatever_comes_after_it(pipe: StarFlowVPipeline) -> None:
    changed = CLIP.copy()
    changed[5:] = 255 - changed[5:]
    ours, theirs = score(pipe).frame_bits, score(pipe, changed).frame_bits
    assert_close(ours[:2], theirs[:2], atol=1e-5, rtol=0)
    assert abs(float(ours[2] - theirs[2])) > 1e-3


def test_a_long_video_is_scored_as_it_would_be_sampled(pipe: StarFlowVPipeline) -> None:
    """Frames before the first restart, of four latents, are as if nothing came after them."""
    long = disc_clip(25, 16, 24)
    made = score(pipe, long)
    assert made.frame_bits.shape == (7,)
    assert_close(made.frame_bits[:3], score(pipe, long[:9]).frame_bits, atol=1e-5, rtol=0)
    other = score(pipe, long, window=ContextWindow(4, 1))
    assert_close(other.frame_bits[:4], made.frame_bits[:4], atol=1e-5, rtol=0)
    assert not torch.allclose(other.frame_bits[4:], made.frame_bits[4:])


def test_from_the_first_restart_on_the_caption_says_that_it_goes_on(make_pipe: Make) -> None:
    pipe = make_pipe(tasks=["video", "extend"])
    long = disc_clip(25, 16, 24)
    text, _ = pipe.encode_prompt(PROMPT)
    told, untold = score(pipe, long), score(pipe, long, prompt=None, prompt_embeds=text)
    assert_close(told.frame_bits[:3], untold.frame_bits[:3], atol=1e-5, rtol=0)
    assert not torch.allclose(told.frame_bits[3:], untold.frame_bits[3:], atol=1e-4)


def test_more_draws_make_the_error_smaller() -> None:
    draws = torch.tensor([1.0, 3.0, 1.0, 3.0]).view(4, 1, 1, 1)
    made = Score(draws=draws, dimensions=4)
    assert made.bits == 2
    assert made.error == pytest.approx(math.sqrt(4 / 3) / 2)
    assert_close(made.frame_errors, torch.tensor([math.sqrt(4 / 3) / 2]))
    assert_close(made.log_probs, -draws.flatten() * 4 * math.log(2))
    assert math.isnan(Score(draws=draws[:1], dimensions=4).error)


def test_a_seed_is_the_same_noise_for_every_caption(pipe: StarFlowVPipeline) -> None:
    prompts = [PROMPT, "a blue circle", PROMPT]
    ranking = pipe.rank(CLIP, prompts, draws=3, generator=seeded(), batch_size=2)
    for prompt, made in zip(prompts, ranking.scores, strict=True):
        alone = score(pipe, prompt=prompt, draws=3)
        assert_close(made.draws, alone.draws, atol=1e-5, rtol=0)
    assert_close(ranking.scores[0].draws, ranking.scores[2].draws, atol=1e-5, rtol=0)
    assert float(ranking.posterior.sum()) == pytest.approx(1)


def test_a_ranking_of_known_scores() -> None:
    """Draws differ by much, captions by little: paired, the difference has no error at all."""
    noise = torch.tensor([0.0, 5.0, 10.0]).view(3, 1, 1, 1)
    scores = [Score(draws=noise + extra, dimensions=2) for extra in (0.5, 0.0, 1.0)]
    ranking = Ranking(prompts=("a", "b", "c"), scores=scores)
    assert (ranking.order, ranking.best) == ([1, 0, 2], "b")
    assert_close(ranking.behind, torch.tensor([0.5, 0.0, 1.0]))
    assert_close(ranking.behind_errors, torch.zeros(3), atol=1e-6, rtol=0)
    assert scores[0].error > 2
    assert_close(ranking.posterior, torch.tensor([0.25, 0.5, 0.125]) / 0.875)


def test_files_are_read_at_the_models_rate_and_size(
    pipe: StarFlowVPipeline, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "clip.mp4", disc_clip(18, 38, 70), fps=16)
    assert score(pipe, path).frame_bits.shape == (3,)
    assert score(pipe, path, frame_rate=4, height=16, width=16).token_bits.shape == (2, 2, 2)
    assert score(pipe, disc_clip(9, 37, 71)).token_bits.shape == (3, 2, 3)
    pictures = [Image.fromarray(frame) for frame in CLIP]
    assert score(pipe, pictures).bits == pytest.approx(score(pipe).bits)


@pytest.mark.parametrize(("length", "kept"), [(2, 1), (4, 1), (8, 5)])
def test_frames_after_the_last_whole_latent_are_left_out(
    pipe: StarFlowVPipeline, length: int, kept: int
) -> None:
    with pytest.warns(UserWarning, match=f"the last {length - kept} are left out"):
        made = score(pipe, CLIP[:length])
    assert_close(made.draws, score(pipe, CLIP[:kept]).draws)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video": CLIP[:0]}, "without frames"),
        ({"video": []}, "empty list"),
        ({"video": np.stack([CLIP, CLIP])}, "2 videos were given"),
        ({"video": "missing.mp4"}, "cannot be opened"),
        ({"video": "subfile,,start,0:a"}, "no protocols"),
        ({"draws": 0}, "draws=0"),
        ({"width": 20}, "multiples of 8"),
        ({"frame_rate": 0}, "frame_rate=0"),
        ({"prompt": None}, "either a prompt or prompt_embeds"),
        ({"prompt": [PROMPT, PROMPT]}, "one string"),
        ({"prompt": None, "prompt_embeds": torch.zeros(2, 40, 16)}, "expected \\(1, length"),
    ],
)
def test_bad_input_is_explained(pipe: StarFlowVPipeline, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(pipe, **options)


@pytest.mark.parametrize("prompts", [[], [PROMPT], PROMPT])
def test_a_ranking_is_of_several_captions(pipe: StarFlowVPipeline, prompts: object) -> None:
    with pytest.raises(ValueError, match="at least 2 captions"):
        pipe.rank(CLIP, prompts)
