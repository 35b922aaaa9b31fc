"""Classification by likelihood on scenes: is the true caption ranked above wrong ones?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from starflow_v.data.scenes import Scene, canonical_caption
from starflow_v.data.scenes.vocabulary import (
    BACKGROUND_COLORS,
    MOTIONS,
    OBJECT_COLORS,
    SHAPES,
    contrasts,
)
from starflow_v.pipelines.likelihood import ScoringPipeline

WRONG = 7
"""Wrong captions beside the true one."""


@dataclass(frozen=True, kw_only=True)
class RankingCase:
    """A clip and captions of it; the first one is true."""

    frames: NDArray[np.uint8]
    """(F,H,W,3)."""
    captions: Sequence[str]


def wrong_captions(scene: Scene, rng: np.random.Generator, *, count: int = WRONG) -> list[str]:
    """Different captions of `scene` that are wrong in one attribute of the main object or ground.

    The attributes (colour, shape, motion, background) take turns, as long as they have values left.
    """
    if not scene.objects:
        raise ValueError("a scene without objects has no attributes that a caption could get wrong")
    kinds = [list(map(str, rng.permutation(changed))) for changed in _changed(scene)]
    mixed = [
        captions[turn]
        for turn in range(max(map(len, kinds)))
        for captions in kinds
        if turn < len(captions)
    ]
    if len(mixed) < count:
        raise ValueError(f"{count} wrong captions were asked for; this scene has {len(mixed)}")
    return mixed[:count]


def rank_accuracy(
    pipe: ScoringPipeline, cases: Sequence[RankingCase], *, draws: int = 4, seed: int = 0
) -> dict[str, float]:
    """How often the true caption is the best, and how far the best wrong one is behind it.

    Args:
        pipe: a flow's pipeline.
        cases: clips of the model's size and rate, with their captions.
        draws: of the added noise.
        seed: of the noise of the first clip; it counts up.

    Returns:
        "accuracy", and "margin" in bits per latent dimension.
    """
    if not cases:
        raise ValueError("rank_accuracy needs at least one clip")
    right, margins = [], []
    for number, case in enumerate(cases, start=seed):
        generator = torch.Generator().manual_seed(number)
        ranking = pipe.rank(case.frames, list(case.captions), draws=draws, generator=generator)
        true, *wrong = (score.bits for score in ranking.scores)
        right.append(true < min(wrong))
        margins.append(min(wrong) - true)
    return {"accuracy": float(np.mean(right)), "margin": float(np.mean(margins))}


def _changed(scene: Scene) -> list[list[str]]:
    """For each attribute, the captions of the scenes in which it alone is another one."""
    thing, ground = scene.objects[0], scene.background
    others = [
        [replace(thing, color=c) for c in OBJECT_COLORS if contrasts(c, ground.color)],
        [replace(thing, shape=shape) for shape in SHAPES],
        [replace(thing, motion=motion) for motion in MOTIONS],
    ]
    grounds = [
        replace(ground, color=color)
        for color in BACKGROUND_COLORS
        if all(contrasts(it.color, color) for it in scene.objects)
    ]
    scenes = [
        *([replace(scene, objects=(it, *scene.objects[1:])) for it in kind] for kind in others),
        [replace(scene, background=it) for it in grounds],
    ]
    true = canonical_caption(scene)
    return [[c for c in map(canonical_caption, kind) if c != true] for kind in scenes]
