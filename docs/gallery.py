"""Draws the pictures of docs/gallery.md: what the embedded model does in each task.

    python docs/gallery.py [generate animate extend edit inpaint score] [--model FOLDER]

Good or bad, nothing is picked: captions, clips and edits are the first of seeded streams that
training never shows, and the noise has the seeds 0, 1, 2, ... Each task makes an animation and a
sheet of stills (score a sheet alone).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Generator

from starflow_v import (
    StarFlowVExtendPipeline,
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from starflow_v.assets import embedded_model
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import (
    EDITS,
    Sample,
    SceneStream,
    StreamSettings,
    TaskWeights,
    canonical_caption,
)
from starflow_v.data.video_io import VideoWriter
from starflow_v.evaluation.heat_map import heat_map
from starflow_v.pipelines.base import StarFlowVBasePipeline

IMAGES = Path(__file__).parent / "images"
SEED = 100
"""Of the stream of clips."""
MASKED = ("inpaint", "outpaint")
"""Kinds of edit with a region that is made."""
SCALE, GAP = 2, 4
"""How much larger a pixel is drawn, and the white around a clip, in pixels."""

AnyPipeline = TypeVar("AnyPipeline", bound=StarFlowVBasePipeline)
Clip = NDArray[np.uint8]
"""(F,H,W,3)."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Clips one below the other that belong together, and what is written above them."""

    label: str
    clips: Sequence[Clip]


def main() -> None:
    """Draw the tasks that are named, or all."""
    tasks: dict[str, Callable[[StarFlowVPipeline], list[Shown]]] = {
        "generate": generate,
        "animate": animate,
        "extend": extend,
        "edit": edit,
        "inpaint": inpaint,
        "score": score,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(tasks)}; default: all")
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where to draw")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(tasks):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    pipe = quiet(StarFlowVPipeline.from_pretrained(options.model))
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.tasks or tasks:
        shown = tasks[name](pipe)
        stem = "gallery" if name == "generate" else f"gallery_{name}"
        draw_sheet(shown, options.folder / f"{stem}.png")
        if name != "score":
            columns = 4 if name == "generate" else len(shown)
            draw_wall(shown, options.folder / f"{stem}.webp", columns, pipe.defaults.frame_rate)
        print(f"{name}: {len(shown)} drawn", flush=True)


def generate(pipe: StarFlowVPipeline) -> list[Shown]:
    """Text to video."""
    captions = [canonical_caption(it.scene) for it in held_out(pipe, 8)]
    clips = from_unit(pipe(captions, generator=seeds(8)).frames)
    return [Shown(label=text, clips=[clip]) for text, clip in zip(captions, clips, strict=True)]


def animate(pipe: StarFlowVPipeline) -> list[Shown]:
    """Image to video: the clip that the image was taken from, and what was made."""
    samples = held_out(pipe, 4)
    captions = [canonical_caption(it.scene) for it in samples]
    animator = quiet(StarFlowVImageToVideoPipeline.from_pipe(pipe))
    made = animator([it.frames[0] for it in samples], captions, generator=seeds(4)).frames
    return pairs(captions, [it.frames for it in samples], from_unit(made))


def extend(pipe: StarFlowVPipeline) -> list[Shown]:
    """A clip, and 16 more frames."""
    samples = held_out(pipe, 4)
    captions = [canonical_caption(it.scene) for it in samples]
    extender = quiet(StarFlowVExtendPipeline.from_pipe(pipe))
    clips = [it.frames for it in samples]
    made = from_unit(extender(clips, captions, num_frames=16, generator=seeds(4)).frames)
    return [Shown(label=text, clips=[clip]) for text, clip in zip(captions, made, strict=True)]


def edit(pipe: StarFlowVPipeline) -> list[Shown]:
    """One edit of each kind by its instruction: the clip, and the edited one."""
    samples = [edits(pipe, kind, 1)[0] for kind in EDITS if kind not in MASKED]
    editor = quiet(StarFlowVVideoToVideoPipeline.from_pipe(pipe))
    instructions = [it.caption for it in samples]
    sources = [source_of(it) for it in samples]
    made = editor(sources, instructions, generator=seeds(len(samples))).frames
    return pairs(instructions, sources, from_unit(made))


def inpaint(pipe: StarFlowVPipeline) -> list[Shown]:
    """Two of each kind with a region: what is known, and what was filled in."""
    editor = quiet(StarFlowVVideoToVideoPipeline.from_pipe(pipe))
    samples = [it for kind in MASKED for it in edits(pipe, kind, 2)]
    made = [
        editor(source_of(it), it.caption, mask=it.mask, generator=seed).frames[0]
        for it, seed in zip(samples, seeds(len(samples)), strict=True)
    ]
    sources = [source_of(it) for it in samples]
    return pairs([it.caption for it in samples], sources, from_unit(np.stack(made)))


def score(pipe: StarFlowVPipeline) -> list[Shown]:
    """Clips, then their bits under their own caption and under the next clip's, coloured alike."""
    samples = held_out(pipe, 3)
    captions = [canonical_caption(it.scene) for it in samples]
    shown = []
    for index, sample in enumerate(samples):
        told = captions[index], captions[(index + 1) % len(captions)]
        scores = pipe.rank(sample.frames, list(told), generator=seeds(1)[0]).scores
        bits = [it.token_bits.numpy() for it in scores]
        span = float(np.percentile(bits, 2)), float(np.percentile(bits, 98))
        maps = [heat_map(sample.frames, it, span=span) for it in bits]
        shown.append(Shown(label=told[0], clips=[sample.frames]))
        for text, painted, it in zip(told, maps, scores, strict=True):
            shown.append(Shown(label=f"{it.bits:.3f} bits under: {text}", clips=[painted]))
    return shown


def quiet(pipe: AnyPipeline) -> AnyPipeline:
    """The pipeline without its bars of progress."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def settings(pipe: StarFlowVPipeline, tasks: TaskWeights, kinds: Sequence[str]) -> StreamSettings:
    """Clips of the model's own size, length and rate."""
    own = pipe.defaults
    return StreamSettings(
        num_frames=own.num_frames,
        height=own.height,
        width=own.width,
        fps=own.frame_rate,
        tasks=tasks,
        edits=dict.fromkeys(kinds, 1.0),
        two_objects=0.0,
    )


def held_out(pipe: StarFlowVPipeline, count: int) -> list[Sample]:
    """The first clips of scenes that training never shows."""
    only = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    stream = SceneStream(SEED, settings(pipe, only, list(EDITS)), held_out=True)
    return [stream.sample(index) for index in range(count)]


def edits(pipe: StarFlowVPipeline, kind: str, count: int) -> list[Sample]:
    """The first edits of a kind, of such scenes."""
    only = TaskWeights(video=0, image=0, extend=0, last=0, v2v=1)
    stream = SceneStream(SEED, settings(pipe, only, [kind]), held_out=True)
    return [stream.sample(index) for index in range(count)]


def source_of(sample: Sample) -> Clip:
    """The clip that an edit begins with."""
    assert sample.source is not None, "a sample of video to video has one"
    return sample.source


def seeds(count: int) -> list[Generator]:
    """Generators of the seeds 0, 1, 2, ..."""
    return [Generator().manual_seed(seed) for seed in range(count)]


def pairs(labels: Sequence[str], given: Sequence[Clip], made: Sequence[Clip]) -> list[Shown]:
    """What was given above what was made."""
    both = zip(labels, given, made, strict=True)
    return [Shown(label=text, clips=[above, below]) for text, above, below in both]


def draw_sheet(shown: Sequence[Shown], path: Path) -> None:
    """Six frames of each clip in a row, in 256 colours."""
    pieces = [
        contact_sheet([clip], [it.label] if index == 0 else (), scale=SCALE, gap=GAP)
        for it in shown
        for index, clip in enumerate(it.clips)
    ]
    sheet = Image.fromarray(np.concatenate(pieces))
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_wall(shown: Sequence[Shown], path: Path, columns: int, rate: float) -> None:
    """All clips side by side, those that belong together one below the other."""
    border = ((0, 0), (GAP // 2, GAP // 2), (GAP // 2, GAP // 2), (0, 0))
    framed = [[np.pad(clip, border, constant_values=255) for clip in it.clips] for it in shown]
    towers = np.stack([np.concatenate(clips, axis=1) for clips in framed])
    wall = rearrange(towers, "(r k) f h w rgb -> f (r h) (k w) rgb", k=columns)
    large = wall.repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    with VideoWriter(path, rate, overwrite=True) as file:
        file.write(large)


if __name__ == "__main__":
    main()
