"""What a clip shows, told by the flow's own likelihood, and edits that are told it."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from starflow_v import DensityGuidance, EachVideo, StarFlowVPipeline
from starflow_v.pipelines import describing
from starflow_v.text import Likeliest
from tests.pipelines.test_image_to_video import request, seeded
from tests.pipelines.test_video_to_video import CLIP, LONG, PROMPT, SQUARE, Make, Pipe, latents_of

COLORS, SHAPES = ["red", "blue"], ["circle", "video", "image"]
STILL, MOVING = "a {color} {shape}", "a {color} {shape} {motion}"
WORDS = {"color": COLORS, "shape": SHAPES, "motion": ["moves", "moves right"]}
PATTERNS = {"patterns": [STILL], "moving": {STILL: MOVING}, "words": WORDS}
TASKS = ["video", "image", "extend", "v2v"]


@pytest.fixture(autouse=True)
def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights are sure of nothing."""
    monkeypatch.setattr(describing, "SURE", 0.0)


@pytest.fixture(scope="module")
def told(make_pipe: Make) -> Pipe:
    """A model whose edits are told what their clips show, with text that it heeds."""
    pipe = make_pipe(tasks=TASKS, window_frames=3, caption_patterns=PATTERNS)
    torch.manual_seed(0)
    for parameter in pipe.flow.deep.parameters():
        nn.init.normal_(parameter, std=0.15)
    pipe = Pipe.from_pipe(pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_a_still_is_described_by_the_likeliest_caption(told: Pipe) -> None:
    (found,) = told.describe(CLIP[:1])
    captions = [f"a {color} {shape}" for color, shape in product(COLORS, SHAPES)]
    ranking = StarFlowVPipeline.from_pipe(told).rank(
        CLIP[:1], captions, draws=1, generator=torch.Generator().manual_seed(0)
    )
    assert len({round(score.bits, 6) for score in ranking.scores}) > 2
    (color, shape), best = found.split()[1:], ranking.best.split()[1:]
    nearby = [f"a {color} {it}" for it in SHAPES] + [f"a {it} {shape}" for it in COLORS]
    bits = dict(zip(captions, (score.bits for score in ranking.scores), strict=True))
    assert bits[found] == pytest.approx(min(bits[it] for it in nearby))
    assert (found == f"a {best[0]} {best[1]}") or bits[found] > bits[ranking.best]


def test_of_a_clip_it_is_told_what_stands_there_and_how_it_moves(told: Pipe) -> None:
    (moving,) = told.describe(CLIP)
    still = " ".join(moving.split()[:3])
    options = [f"{still} {motion}" for motion in WORDS["motion"]]
    noise = torch.Generator().manual_seed(0)
    ranking = StarFlowVPipeline.from_pipe(told).rank(CLIP, options, draws=1, generator=noise)
    assert moving == ranking.best


def test_frames_behind_the_last_whole_latent_frame_do_not_count(told: Pipe) -> None:
    assert told.describe(CLIP) == told.describe(np.concatenate([CLIP, *[CLIP[-1:]] * 3]))


def test_it_depends_on_the_clip_and_on_nothing_else(told: Pipe) -> None:
    torch.manual_seed(1)
    first = told.describe([CLIP, 255 - CLIP])
    torch.manual_seed(2)
    assert told.describe(np.stack([255 - CLIP, CLIP])) == first[::-1]


def test_an_edit_is_told_what_its_clip_shows(told: Pipe) -> None:
    (found,) = told.describe(CLIP)
    usual = latents_of(told)
    assert torch.equal(usual, latents_of(told, source_prompt=found))
    assert torch.equal(usual, latents_of(told, prompt=f"{PROMPT}: {found}", source_prompt=""))
    assert not torch.equal(usual, latents_of(told, source_prompt=""))
    other = "a red video" if found != "a red video" else "a blue video"
    assert not torch.equal(usual, latents_of(told, source_prompt=other))


@pytest.mark.parametrize(("probability", "shown"), [(0.98, ""), (0.995, "a red circle")])
def test_nothing_is_told_of_a_clip_that_it_is_not_sure_of(
    told: Pipe, monkeypatch: pytest.MonkeyPatch, probability: float, shown: str
) -> None:
    """Of two things half of the descriptions were wrong, and what was told was made."""

    def describe(clips: list[np.ndarray], *, frame_rate: int) -> list[Likeliest]:
        return [Likeliest(text="a red circle", probability=probability)] * len(clips)

    monkeypatch.setattr(describing, "SURE", 0.99)
    monkeypatch.setattr(told, "_describe", describe)
    assert torch.equal(latents_of(told), latents_of(told, source_prompt=shown))


def test_each_clip_of_a_batch_has_its_own(told: Pipe) -> None:
    clips, options = np.stack([CLIP, 255 - CLIP]), {"output_type": "latent"}
    generators = [seeded(1), seeded(2)]
    both = told(clips, PROMPT, generator=generators, **options).frames
    shown = ["a red circle", ""]
    named = told(
        clips, PROMPT, source_prompt=shown, generator=[seeded(1), seeded(2)], **options
    ).frames
    for place, (seed, clip) in enumerate(((1, CLIP), (2, 255 - CLIP))):
        alone = told(clip, PROMPT, generator=seeded(seed), **options).frames
        torch.testing.assert_close(both[place : place + 1], alone, atol=1e-4, rtol=0)
        alone = told(
            clip, PROMPT, source_prompt=shown[place], generator=seeded(seed), **options
        ).frames
        torch.testing.assert_close(named[place : place + 1], alone, atol=1e-4, rtol=0)


def test_what_is_not_told_has_a_share_of_guidance(told: Pipe) -> None:
    """Guided as much as others, edits of two things lost the one that was to stay."""
    components = told.components
    own = {k: v for k, v in told.config.items() if k[0] != "_" and k not in components}
    pipe = Pipe(**components, **{**own, "untold_guidance": 0.25})
    pipe.set_progress_bar_config(disable=True)
    clips, shown = np.stack([CLIP, 255 - CLIP]), ["a red circle", ""]
    options = {"output_type": "latent", "guidance_scale": 2.0, "num_videos_per_prompt": 2}
    seeds = [[seeded(k) for k in range(4)] for _ in range(3)]
    mixed = pipe(clips, PROMPT, source_prompt=shown, generator=seeds[0], **options).frames
    rule = EachVideo([DensityGuidance(w) for w in (2.0, 2.0, 0.5, 0.5)])
    options["guidance_scale"] = None
    named = pipe(
        clips, PROMPT, source_prompt=shown, generator=seeds[1], guidance=rule, **options
    ).frames
    assert torch.equal(mixed, named)
    same = told(clips, PROMPT, source_prompt=shown, generator=seeds[2], **options).frames
    assert not torch.equal(mixed[2:], same[2:])
    alone = latents_of(pipe, source_prompt="", guidance_scale=2.0)
    assert torch.equal(alone, latents_of(told, source_prompt="", guidance_scale=0.5))
    masked = latents_of(pipe, mask=SQUARE, guidance_scale=2.0)
    assert torch.equal(masked, latents_of(told, mask=SQUARE, guidance_scale=2.0))


def test_every_chunk_is_told_what_its_own_part_shows(
    told: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []

    def describe(clips: list[np.ndarray], *, frame_rate: int) -> list[Likeliest]:
        assert frame_rate == 8
        parts.extend(clips)
        text = "a red circle" if len(parts) == 1 else "a blue circle"
        return [Likeliest(text=text, probability=1.0)] * len(clips)

    options = {"output_type": "latent", "guidance_scale": 0}
    unlike = told(LONG, PROMPT, source_prompt="a red circle", generator=seeded(), **options).frames
    monkeypatch.setattr(told, "_describe", describe)
    made = told(LONG, PROMPT, generator=seeded(), **options).frames
    assert len(parts) == 4
    assert all((part == LONG[4 * k :][:9]).all() for k, part in enumerate(parts))
    assert torch.equal(made[:, :, :3], unlike[:, :, :3])
    assert not torch.equal(made[:, :, 3:], unlike[:, :, 3:])


def test_a_mask_hides_so_nothing_is_told(told: Pipe) -> None:
    plain = latents_of(told, mask=SQUARE)
    assert torch.equal(plain, latents_of(told, mask=SQUARE, source_prompt=""))


def test_a_model_without_captions_is_told_nothing(make_pipe: Make) -> None:
    pipe = Pipe.from_pipe(make_pipe(tasks=TASKS, window_frames=3))
    pipe.set_progress_bar_config(disable=True)
    assert torch.equal(latents_of(pipe), latents_of(pipe, source_prompt=""))
    with pytest.raises(ValueError, match="no caption_patterns in its settings"):
        pipe.describe(CLIP)
    with pytest.raises(ValueError, match=r"not trained to be told .*tell_sources"):
        pipe(CLIP, PROMPT, source_prompt="a red circle")


def test_the_captions_are_kept_with_the_model(told: Pipe, tmp_path: Path) -> None:
    told.save_pretrained(tmp_path)
    again = Pipe.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.config["caption_patterns"] == PATTERNS
    assert again.describe(CLIP) == told.describe(CLIP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.5}, "and a strength: an edit by inversion has no instruction"),
        ({"mask": SQUARE}, "and a mask: tell in the prompt what is to be seen"),
        ({"source_prompt": ["a red circle"] * 2}, "2 source prompts and 1 prompts were given"),
    ],
)
def test_a_source_prompt_that_nobody_hears_is_refused(
    told: Pipe, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        told(CLIP, PROMPT, **{"source_prompt": "a red circle"} | options)


def test_embeddings_tell_all(told: Pipe) -> None:
    text, null = told.encode_prompt(PROMPT)
    given = {"prompt_embeds": text, "negative_prompt_embeds": null}
    arguments = replace(request(), prompt=None, **given)
    with pytest.raises(ValueError, match="and prompt_embeds"):
        told._begin(arguments, CLIP, None, None, None, "a red circle")
    assert told(CLIP, generator=seeded(), output_type="latent", **given).frames.shape[0] == 1
