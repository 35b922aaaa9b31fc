"""What one model does beside text to video, on scenes it was never trained on, checked by pixels.

    python benchmarks/tasks.py [--clips 100] [--model FOLDER] [--kinds recolor inpaint ...]

animate     stills with a caption that tells how they move. PSNR of the first output frame against
            the codec's own reconstruction of the still (at most 100 dB is told); the share of
            clips whose colour, shape and background are those of the still, and of clips that move
            as told.
edit        each kind of edit: the share of clips in which the instruction was carried out, and in
            which everything that it does not name was kept.
rank        the share of scenes whose own caption is more likely than 7 wrong ones, each with one
            attribute changed.
describe    the share of scenes whose own caption is found, word by word, among all that the model
            knows: what edits are told of their sources.
round_trip  the largest error of latents and of frames (in [0, 1], against the codec's own
            reconstruction) after a clip was encoded to noise and decoded without denoising.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from report import environment, print_report
from torch import Generator

from starflow_v import (
    StarFlowVImageToVideoPipeline,
    StarFlowVPipeline,
    StarFlowVVideoToVideoPipeline,
)
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit, to_frames
from starflow_v.data.scenes import (
    EDITS,
    Edit,
    Scene,
    SceneStream,
    StreamSettings,
    TaskWeights,
    canonical_caption,
    is_held_out,
    render,
    sample_edit,
    source_caption,
)
from starflow_v.evaluation.caption_ranking import RankingCase, rank_accuracy, wrong_captions
from starflow_v.evaluation.edit_checker import check_edit
from starflow_v.evaluation.scene_checker import check
from starflow_v.pipelines.base import StarFlowVBasePipeline

SEED = 2000
BATCH = 10
BEST_PSNR = 100.0
"""dB, of equal pictures."""

Pixels = NDArray[np.uint8]
Item = TypeVar("Item")


def main() -> None:
    """Measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100, help="of animate and of each edit")
    parser.add_argument("--ranked", type=int, help="scenes; default: twice as many")
    parser.add_argument("--draws", type=int, default=4, help="of the noise, for ranking")
    parser.add_argument("--kinds", nargs="+", default=list(EDITS), choices=list(EDITS))
    parser.add_argument("--guidance", type=float, help="default: the model's")
    parser.add_argument("--fidelity", type=float, help="of edits; default: the model's")
    parser.add_argument("--candidates", type=int, help="draws through a mask; default: 4")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the noise")
    parser.add_argument("--untold", action="store_true", help="tell edits nothing of their source")
    parser.add_argument("--frames", type=int, help="of clips to edit; default: the model's")
    parser.add_argument("--model", type=Path, default=embedded_model())
    options = parser.parse_args()
    pipe, still, video = (
        kind.from_pretrained(options.model)
        for kind in (
            StarFlowVPipeline,
            StarFlowVImageToVideoPipeline,
            StarFlowVVideoToVideoPipeline,
        )
    )
    for each in (pipe, still, video):
        each.set_progress_bar_config(disable=True)
    ranked = 2 * options.clips if options.ranked is None else options.ranked
    results: dict[str, Any] = {
        "round_trip": round_trip(pipe, min(options.clips, 20)),
        "animate": animate(still, options),
        "rank": rank(pipe, ranked, draws=options.draws),
        "describe": describe(pipe, ranked),
        "edit": {},
    }
    for name in ("round_trip", "animate", "rank", "describe"):
        show(name, results[name])
    for kind in options.kinds:
        name = kind.replace(" ", "_")
        results["edit"][name] = edit(video, kind, options)
        show(f"edit.{name}", results["edit"][name])
    print_report(
        "tasks",
        settings={
            "clips": options.clips,
            "ranked": ranked,
            "draws": options.draws,
            "guidance": options.guidance,
            "fidelity": options.fidelity,
            "candidates": options.candidates,
            "temperature": options.temperature,
            "untold": options.untold,
            "frames": options.frames,
            "defaults": asdict(pipe.defaults),
        },
        environment=environment(options.model, device="cpu", dtype="float32", seed=SEED),
        results=results,
    )


def show(name: str, measured: dict[str, Any]) -> None:
    """All numbers with their names; what single clips gave is left to the JSON line."""
    for key, value in measured.items():
        if not isinstance(value, list):
            print(f"{name}.{key}".ljust(32), f"{value:.6g}", flush=True)


def stream_settings(pipe: StarFlowVBasePipeline) -> StreamSettings:
    """Clips of the model's own size and rate."""
    size = pipe.defaults
    return StreamSettings(
        num_frames=size.num_frames,
        height=size.height,
        width=size.width,
        fps=size.frame_rate,
        tasks=TaskWeights(video=1, image=0, extend=0, last=0, v2v=0),
    )


def held_out_scenes(
    pipe: StarFlowVBasePipeline, count: int, *, seed: int
) -> list[tuple[Pixels, Scene]]:
    """Clips (F,H,W,3) of one object each, and their scenes."""
    settings = replace(stream_settings(pipe), two_objects=0.0)
    stream = SceneStream(seed, settings, held_out=True)
    samples = [stream.sample(index) for index in range(count)]
    return [(sample.frames, sample.scene) for sample in samples]


def animate(pipe: StarFlowVImageToVideoPipeline, options: argparse.Namespace) -> dict[str, Any]:
    """Set the first frames of clips in motion as the clips' captions tell."""
    psnr, identity, motion = [], [], []
    for first, some in batches(held_out_scenes(pipe, options.clips, seed=SEED)):
        stills = [clip[0] for clip, _ in some]
        captions = [canonical_caption(scene, with_size=False) for _, scene in some]
        generators = seeded(first, len(some))
        clips = pipe(
            stills,
            captions,
            generator=generators,
            guidance_scale=options.guidance,
            temperature=options.temperature,
        ).frames
        own = reconstruct(pipe, [still[None] for still in stills])
        psnr += [psnr_of(clip[0], copy[0]) for clip, copy in zip(clips, own, strict=True)]
        for clip, caption in zip(from_unit(clips), captions, strict=True):
            verdict = check(clip, caption)
            identity.append(bool(verdict.color and verdict.shape and verdict.background))
            motion.append(bool(verdict.motion))
    return {
        "first_frame_psnr": float(np.mean(psnr)),
        "identity": float(np.mean(identity)),
        "motion": float(np.mean(motion)),
        "clips": [list(each) for each in zip(psnr, identity, motion, strict=True)],
    }


def edit(
    pipe: StarFlowVVideoToVideoPipeline, kind: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Instructed edits of one kind; those with a region are filled through a mask.

    Of clips that are longer than the model's own as many frames are judged, the last ones.
    """
    own = stream_settings(pipe)
    settings = replace(own, num_frames=options.frames or own.num_frames)
    verdicts = []
    masked = kind in ("inpaint", "outpaint")  # each has a mask of its own
    for first, some in batches(
        held_out_edits(settings, kind, options.clips), size=1 if masked else BATCH
    ):
        region = some[0].region
        clips = pipe(
            [film(it.before, settings) for it in some],
            [it.instruction for it in some],
            mask=region and region.mask(height=settings.height, width=settings.width),
            generator=seeded(first, len(some)),
            guidance_scale=options.guidance,
            fidelity=None if masked else options.fidelity,
            candidates=options.candidates if masked else None,
            source_prompt="" if options.untold else None,
            temperature=options.temperature,
        ).frames
        judged = [clip[-own.num_frames :] for clip in from_unit(clips)]
        verdicts += [check_edit(clip, it) for clip, it in zip(judged, some, strict=True)]
    return {
        "done": float(np.mean([verdict.done for verdict in verdicts])),
        "kept": float(np.mean([verdict.kept for verdict in verdicts])),
        "clips": [[verdict.done, verdict.kept] for verdict in verdicts],
    }


def held_out_edits(settings: StreamSettings, kind: str, count: int) -> list[Edit]:
    """Edits of scenes that training never shows."""
    rng = np.random.default_rng([SEED, list(EDITS).index(kind)])
    found: list[Edit] = []
    while len(found) < count:
        sampled = sample_edit(rng, kind, settings.scenes)
        if is_held_out(sampled.before):
            found.append(sampled)
    return found


def film(scene: Scene, settings: StreamSettings) -> Pixels:
    """A clip of a scene, (F,H,W,3)."""
    return render(
        scene,
        num_frames=settings.num_frames,
        height=settings.height,
        width=settings.width,
        fps=settings.fps,
    )


def rank(pipe: StarFlowVPipeline, count: int, *, draws: int) -> dict[str, float]:
    """Clips, their own caption and 7 wrong ones, by exact likelihood."""
    rng = np.random.default_rng(SEED)
    cases = [
        RankingCase(frames=clip, captions=[canonical_caption(scene), *wrong_captions(scene, rng)])
        for clip, scene in held_out_scenes(pipe, count, seed=SEED + 1)
    ]
    return rank_accuracy(pipe, cases, draws=draws, seed=SEED)


def describe(pipe: StarFlowVPipeline, count: int) -> dict[str, float]:
    """Clips, and what the model says that they show; nothing if it has no captions for it."""
    if pipe.caption_patterns is None:
        return {}
    scenes = held_out_scenes(pipe, count, seed=SEED + 3)
    right = [pipe.describe(clip) == [source_caption(scene)] for clip, scene in scenes]
    return {"accuracy": float(np.mean(right))}


def round_trip(pipe: StarFlowVPipeline, count: int) -> dict[str, Any]:
    """Clips to noise and back, without denoising."""
    latents, pixels = [], []
    for index, (clip, scene) in enumerate(held_out_scenes(pipe, count, seed=SEED + 2)):
        (generator,) = seeded(index, 1)
        encoding = pipe.encode(clip, canonical_caption(scene), generator=generator)
        with torch.no_grad():
            clean = pipe.codec.encode(to_frames([clip])).transpose(1, 2)
        back = pipe.decode(encoding, output_type="latent").frames
        latents.append(float((back - clean).abs().max()))
        frames = pipe.decode(encoding).frames
        pixels.append(float(np.abs(frames - reconstruct(pipe, [clip])).max()))
    return {"latent": max(latents), "pixel": max(pixels)}


@torch.no_grad()
def reconstruct(pipe: StarFlowVBasePipeline, clips: Sequence[Pixels]) -> NDArray[np.float32]:
    """Clips through the codec alone, (B,F,H,W,3) in [0, 1]."""
    decoded = pipe.codec.decode(pipe.codec.encode(to_frames(clips)))
    return ((decoded + 1) / 2).permute(0, 1, 3, 4, 2).numpy()


def psnr_of(made: NDArray[np.float32], own: NDArray[np.float32]) -> float:
    """In dB, of pictures in [0, 1]."""
    error = float(np.square(made - own).mean())
    return min(BEST_PSNR, -10 * float(np.log10(max(error, 1e-30))))


def seeded(first: int, count: int) -> list[Generator]:
    """A generator for each of some clips, which depends on nothing but its number."""
    return [Generator().manual_seed(SEED + first + index) for index in range(count)]


def batches(items: Sequence[Item], *, size: int = BATCH) -> Iterator[tuple[int, Sequence[Item]]]:
    """Some at a time, with the number of the first."""
    for first in range(0, len(items), size):
        yield first, items[first : first + size]


if __name__ == "__main__":
    main()
