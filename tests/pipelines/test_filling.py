"""Filling what a mask hides: the draws of a latent frame, and which of them goes on."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v import StarFlowVPipeline, StarFlowVVideoToVideoPipeline
from starflow_v.flow.guidance import DensityGuidance, EachVideo
from starflow_v.pipelines.chunks import Chunk
from starflow_v.pipelines.filling import Filling
from starflow_v.pipelines.known import Kept, put_back
from tests.pipelines.test_image_to_video import seeded
from tests.pipelines.test_video_to_video import CLIP, LONG, SQUARE, latents_of, run

Pipe = StarFlowVVideoToVideoPipeline


@pytest.fixture(scope="module")
def edit(make_pipe: Callable[..., StarFlowVPipeline]) -> Pipe:
    pipe = Pipe.from_pipe(make_pipe(tasks=["video", "v2v"], window_frames=3))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def kept_of(clip: np.ndarray) -> Kept:
    return Kept(clips=[clip], made=np.repeat(SQUARE[None], len(clip), axis=0))


def beside_the_mask(frames: Tensor) -> Tensor:
    """How far frames (1, f, 3, H, W) are from the clip, at most half a latent from its hole."""
    there = put_back(kept_of(CLIP), frames)
    near = np.zeros_like(SQUARE)
    near[0:16, 1:18] = True
    return (frames - there).square()[..., torch.from_numpy(near & ~SQUARE)].sum()


@torch.no_grad()
def test_the_draw_that_agrees_with_what_is_known_goes_on(edit: Pipe) -> None:
    """Of each video its own; what is known is put back before the next frame is drawn."""
    right, wrong = torch.randn(2, 1, 1, 4, 2, 3, generator=seeded())
    pixels = edit.codec.decode(right)[0].clamp(-1, 1).permute(0, 2, 3, 1)
    kept, none = kept_of(((pixels + 1) * 127.5).byte().numpy()), torch.zeros(2, 0, 4, 2, 3)
    filling = Filling(codec=edit.codec, kept=kept, candidates=3, length=3)
    first, second = Chunk(start=0, known=0, made=1), Chunk(start=0, known=1, made=1)
    drawn = torch.cat((wrong, right, wrong, wrong, -wrong, right))
    chosen = filling.choose(first, none, drawn)
    assert torch.equal(chosen, torch.cat((right, right)))
    shown = put_back(kept, edit.codec.decode(right))
    assert_close(filling.remembered(second)[:1], edit.codec.encode(shown))


@torch.no_grad()
def test_of_more_draws_the_first_frame_agrees_better(edit: Pipe) -> None:
    one, four = (latents_of(edit, mask=SQUARE, candidates=count)[:, :1] for count in (1, 4))
    assert not torch.equal(one, four), (
        "the first of four is the one draw, by this seed not the best"
    )
    assert beside_the_mask(edit.codec.decode(four)) < beside_the_mask(edit.codec.decode(one))


@pytest.mark.parametrize("guidance", [None, EachVideo([DensityGuidance(0.5), DensityGuidance(2)])])
def test_equal_draws_make_what_one_makes(edit: Pipe, guidance: EachVideo | None) -> None:
    """Each draw has its own place in the noise, behind those of the frames before it."""
    once, twice = [], []
    for known in range(3):
        before, z = torch.randn(2, 4, 3 + known, 2, 3), torch.randn(2, 4, 1, 2, 3)
        once += [before, z]
        twice += [before, z, z]
    prompts = ["a red circle", "a blue circle"]
    made = [
        run(edit, CLIP, prompts, mask=SQUARE, latents=torch.cat(noise, dim=2), candidates=count,
            guidance=guidance, output_type="latent")
        for count, noise in ((1, once), (2, twice))
    ]  # fmt: skip
    assert_close(made[1], made[0], atol=1e-4, rtol=0)


def test_one_null_text_serves_all_prompts(edit: Pipe) -> None:
    """Without a mask it does; with one, each draw of each video has to have its own copy."""
    text, null = edit.encode_prompt(["a red circle", "a blue circle"])
    assert null is not None
    given = {"prompt_embeds": text, "mask": SQUARE}
    both, one = (
        run(edit, CLIP, None, negative_prompt_embeds=it, **given) for it in (null, null[:1])
    )
    assert torch.equal(both, one)


def test_several_videos_of_a_prompt_are_several(edit: Pipe) -> None:
    made = run(edit, LONG[:10], mask=SQUARE, num_videos_per_prompt=2)
    assert made.shape[:2] == (2, 10) and not torch.equal(made[0], made[1])


def test_what_a_mask_hides_is_not_seen(edit: Pipe) -> None:
    other = CLIP.copy()
    other[:, SQUARE] = 255 - other[:, SQUARE]
    assert torch.equal(run(edit, mask=SQUARE), run(edit, other, mask=SQUARE))


def test_long_clips_are_filled_in_chunks(edit: Pipe) -> None:
    """As many frames as the clip has, streamed as they are made."""
    whole = run(edit, LONG, mask=SQUARE, candidates=2)
    options = {"mask": SQUARE, "candidates": 2, "generator": seeded(), "output_type": "pt"}
    streamed = list(edit.stream(LONG, "a blue circle", **options))
    assert [it.shape[1] for it in streamed] == [1, 4, 4, 4, 4, 4]
    assert_close(torch.cat(streamed, dim=1), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": SQUARE, "candidates": 0}, "candidates=0: give a whole number from 1 on"),
        ({"mask": SQUARE, "candidates": True}, "candidates=True"),
        ({"mask": SQUARE, "candidates": 1.5}, "candidates=1.5"),
        ({"candidates": 2}, "candidates=2 and no mask were given"),
        ({"mask": SQUARE, "fidelity": 0.5}, "a mask and a fidelity of 0.5 were given"),
    ],
)
def test_bad_candidates_are_refused(edit: Pipe, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(edit, **options)
