"""Things to begin with, for a model that knows the world of scenes: drawn by seed, not by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starflow_v.data.scenes import (
    Region,
    Scene,
    SceneSettings,
    canonical_caption,
    render,
    sample_edit,
    sample_scene,
)
from starflow_v.data.video_io import VideoWriter
from starflow_v.studio import preview
from starflow_v.studio.uploads import Upload
from starflow_v.text import known_words, unknown_words

if TYPE_CHECKING:
    from starflow_v.pipelines.generation import GeneratingPipeline

SEED = 20
ALONE = SceneSettings(two_objects=0.0, gradient=0.0)
INSTRUCTIONS = ("recolor", "change background", "inpaint", "outpaint")
"""Kinds of edits."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A prompt, and the file that goes with it."""

    prompt: str
    upload: Upload | None = None
    hole: Region | None = None
    """The part of the clip that is to be made."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Those of each tab; none for a model of another world."""

    generate: tuple[Example, ...] = ()
    animate: tuple[Example, ...] = ()
    extend: tuple[Example, ...] = ()
    edit: tuple[Example, ...] = ()
    score: tuple[Example, ...] = ()


def make_examples(pipe: GeneratingPipeline, folder: Path) -> Examples:
    """Draw them, at the size and the rate of the model, into a folder."""
    tokenizer = pipe.tokenizer
    if tokenizer is None or not known_words(tokenizer):
        return Examples()
    rng = np.random.default_rng(SEED)
    own = pipe.defaults
    folder.mkdir(parents=True)

    def clip(name: str, scene: Scene, count: int) -> Upload:
        size = {"height": own.height, "width": own.width}
        frames = render(scene, num_frames=count, fps=own.frame_rate, **size)
        for path, shown in ((folder / name, frames), (icon_of(folder / name), frames[:1])):
            with VideoWriter(path, fps=own.frame_rate, overwrite=True) as writer:
                writer.write(shown)
        return Upload(
            path=folder / name,
            name=name,
            count=count,
            size=(own.height, own.width),
            own_size=(own.height, own.width),
            shown=preview.small(frames[: preview.LONGEST]),
        )

    def known(examples: list[Example]) -> tuple[Example, ...]:
        return tuple(it for it in examples if not unknown_words(tokenizer, it.prompt))

    scenes = [sample_scene(rng, ALONE) for _ in range(7)]
    told = [(canonical_caption(scene), scene) for scene in scenes]
    edits = [sample_edit(rng, kind, ALONE) for kind in INSTRUCTIONS]
    asked = [(edit.instruction, edit.before, edit.region) for edit in edits]

    def moving(
        name: str, wanted: Sequence[tuple[str, Scene, Region | None]]
    ) -> tuple[Example, ...]:
        return known(
            [
                Example(
                    prompt=prompt, upload=clip(f"{name}-{i}.mp4", scene, own.num_frames), hole=hole
                )
                for i, (prompt, scene, hole) in enumerate(wanted)
            ]
        )

    shown = [(caption, scene, None) for caption, scene in told]

    return Examples(
        generate=known([Example(prompt=caption) for caption, _ in told[:3]]),
        animate=known(
            [
                Example(prompt=caption, upload=clip(f"still-{i}.png", scene, 1))
                for i, (caption, scene) in enumerate(told[3:5])
            ]
        ),
        extend=moving("extend", shown[3:5]),
        edit=moving("edit", asked),
        score=moving("score", shown[5:]),
    )


def icon_of(path: Path) -> Path:
    """The first frame of an example, beside it."""
    return path.with_name(f"{path.stem}.icon.png")
