"""Autoregressive flow against causal flow matching on scenes: quality against seconds.

    python benchmarks/head_to_head.py train --folder runs/head_to_head
    python benchmarks/head_to_head.py measure --folder runs/head_to_head

`train` runs `starflow-v train` for each of `MODELS` that the folder does not hold yet; stopped, it
goes on where it was. They have one codec, the same data, captions and text encoder, equal numbers
of parameters and, by their numbers of steps, equal processor time: `training` has the time of a
step of each, taken in turn. Samplers: the flow by the sequential solver, the paper's and ours; the
frame-causal flow (one evaluation a frame in the deep block); flow matching by 1, 2, 4, 10 and 50
Euler steps a frame. Each is asked for the same captions that training never showed, at the guidance
that suits its model best (on other captions, see `best_guidance`).

- accuracy: the share of clips right in colour, shape, motion and background; `accuracy_error` is
  one standard error. attributes: the shares of each, and their mean. smoothness:
  `starflow_v.evaluation.temporal`, the mean over clips.
- drift: a stream of 10 times the trained length; `drift_first` and `drift_last` are the shares of
  clips right in colour, shape and background in their first and last second.
- seconds, fps, first_frame_seconds: of one clip, and of the first frame of its stream in series;
  the processor's, of one thread, medians of runs in turn.
- likelihood: bits per dimension of latents with the flow's own noise, on the same scenes; of flow
  matching see `matching_likelihood.py`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from embedded_quality import SEED, held_out_scenes, latent_quality
from long_videos import Captioned, compare_ends, lasting
from matching_likelihood import matching_bits
from numpy.typing import NDArray
from report import environment, print_report
from torch import Generator
from training_time import training_time

from starflow_v import StarFlowVFlowMatchingPipeline, StarFlowVPipeline
from starflow_v.benchmark.campaign import in_turn
from starflow_v.benchmark.solvers import SOLVERS
from starflow_v.data.pixels import from_unit
from starflow_v.evaluation.scene_checker import check
from starflow_v.evaluation.temporal import motion_smoothness
from starflow_v.sampling.overlap import InSeries
from starflow_v.training.flow_report import ATTRIBUTES, held_out_captions
from starflow_v.training.recipes import train_model

Clips = NDArray[np.uint8]
Run = tuple[str, list[str]]

CONFIGS = Path(__file__).parents[1] / "configs/head_to_head"
MODELS: dict[str, Run] = {
    "flow": ("flow.yaml", []),
    "matching": ("matching.yaml", []),
    "frame-causal": (
        "flow.yaml",
        ["flow.deep_groups=1", "trainer.steps=3700", "trainer.evaluate_every=3700"],
    ),
}
"""Name -> configuration, and what it changes there."""
COUPLINGS: dict[str, Run] = {
    name: ("matching.yaml", [f"coupling={name}"]) for name in ("optimal_transport", "weighted")
}
"""More of flow matching, for benchmarks/couplings.py."""
USUAL: dict[str, dict[str, Any]] = {
    "flow": {"solver": SOLVERS["ours"]},
    "matching": {"num_inference_steps": 10},
    "frame-causal": {"solver": SOLVERS["ours"]},
}
"""How models are sampled where their guidance is chosen, of `WEIGHTS`."""
WEIGHTS = (0.0, 1.0, 2.0, 4.0)
STEPS = (1, 2, 4, 10, 50)
LONGER = 10
BATCH = 10
PROMPT = "a small red star bounces on a gray background"


@dataclass(kw_only=True)
class Sampler:
    """A model and how it is sampled; a case of `in_turn`.

    Args:
        name: what tables call it.
        pipe: the model.
        how: what its calls are told: a solver, or a number of steps.
    """

    name: str
    pipe: StarFlowVPipeline
    how: dict[str, Any]
    evaluations: int = 0
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)

    def clips(self, captions: Sequence[str]) -> Clips:
        """A clip of each caption, (B, F, H, W, 3)."""
        made = self.pipe(list(captions), generator=generators(len(captions)), **self.how)
        return from_unit(np.asarray(made.frames))

    def long_clips(self, captions: Sequence[str], num_frames: int) -> Clips:
        """The same of any length, streamed."""
        stream = self.pipe.stream(
            list(captions),
            num_frames=num_frames,
            generator=generators(len(captions)),
            **self.how,
        )
        return np.concatenate([from_unit(frames) for frames in stream], axis=1)

    def run(self, *, first: bool, counts: bool) -> None:
        (generator,) = generators(1)
        begun = time.process_time()
        made = self.pipe(PROMPT, generator=generator, **self.how)
        spent = time.process_time() - begun
        assert made.deep is not None and made.shallow is not None
        self.evaluations = made.deep.evaluations + made.shallow.evaluations
        (generator,) = generators(1)
        begun = time.process_time()
        stream = self.pipe.stream(PROMPT, generator=generator, stages=InSeries(), **self.how)
        next(stream)
        waited = time.process_time() - begun
        stream.close()
        if counts:
            self.seconds.append(spent)
            self.first.append(waited)


def main() -> None:
    """Train; or measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("half", choices=["train", "measure"])
    parser.add_argument("--folder", type=Path, default=Path("runs/head_to_head"))
    names = [*MODELS, *COUPLINGS]
    parser.add_argument("--models", nargs="+", choices=names, default=list(MODELS), help="to train")
    parser.add_argument("--cache", type=Path, help="of latents; default: in the folder")
    parser.add_argument("--changes", nargs="+", metavar="KEY=VALUE", default=[], help="for all")
    parser.add_argument("--captions", type=int, default=100, help="also clips of the likelihood")
    parser.add_argument("--long", type=int, default=20, help="long videos")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-ups", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.half == "measure":
        measure_all(options)
        return
    for name in options.models:
        if not (options.folder / name / "pipeline" / "model_index.json").is_file():
            tell(name)
            train_model(*run_of(name, options))


def run_of(name: str, options: argparse.Namespace) -> tuple[Path, list[str]]:
    """The configuration of a model, and all its changes."""
    config, changes = (MODELS | COUPLINGS)[name]
    places = [
        f"trainer.folder={options.folder / name}",
        f"data.cache={options.cache or options.folder / 'latents'}",
    ]
    return CONFIGS / config, [*changes, *places, *options.changes]


def measure_all(options: argparse.Namespace) -> None:
    """All figures of all samplers."""
    training = training_time({name: run_of(name, options) for name in MODELS})
    models = {name: open_model(options.folder / name / "pipeline") for name in MODELS}
    guidance = {
        name: best_guidance(name, pipe, USUAL[name], options.captions)
        for name, pipe in models.items()
    }
    samplers = all_samplers(models, {name: it["best"] for name, it in guidance.items()})
    in_turn(samplers, warm_ups=options.warm_ups, runs=options.runs, tell=tell)
    captions, scenes = held_out_captions(options.captions, seed=SEED), lasting(options.long)
    measured = {it.name: measure(it, captions, scenes) for it in samplers}
    about = {
        "likelihood": likelihoods(models, options.captions),
        "parameters": {name: parameters(pipe) for name, pipe in models.items()},
        "training": training,
        "guidance": guidance,
    }
    for name, it in measured.items():
        print(f"{name:24}", *(f"{key} {it[key]:.3g}" for key in SHOWN), sep="  ")
    print(about)
    folder = options.folder / "flow" / "pipeline"
    print_report(
        "head_to_head",
        settings={key: str(value) for key, value in vars(options).items()},
        environment=environment(folder, device="cpu", dtype="float32", seed=SEED),
        results={"samplers": measured, **about},
    )


def open_model(folder: Path) -> StarFlowVPipeline:
    """A flow or flow matching, without progress bars."""
    kind = DiffusionPipeline.load_config(folder)["_class_name"]
    matching = kind == StarFlowVFlowMatchingPipeline.__name__
    pipeline = StarFlowVFlowMatchingPipeline if matching else StarFlowVPipeline
    pipe: StarFlowVPipeline = pipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def best_guidance(
    name: str, pipe: StarFlowVPipeline, how: dict[str, Any], count: int
) -> dict[str, Any]:
    """The weight with most attributes right, on other captions than those that are measured, and
    the mean of attributes that each weight had there."""
    captions, found = held_out_captions(count, seed=SEED - 1), {}
    for weight in WEIGHTS:
        tell(f"{name}, guidance {weight:g}")
        sampler = Sampler(name=name, pipe=pipe, how=how | {"guidance_scale": weight})
        found[weight] = quality(sampler, captions)["attributes"]["mean"]
    return {"best": max(found, key=lambda weight: found[weight]), "attributes": found}


SHOWN = ("evaluations", "accuracy", "smoothness", "drift_last", "fps", "first_frame_seconds")


def tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def all_samplers(
    models: Mapping[str, StarFlowVPipeline], weights: Mapping[str, float]
) -> list[Sampler]:
    """Every way to sample every model, each at its guidance."""
    ways: list[tuple[str, str, dict[str, Any]]] = [
        (f"flow, {solver}", "flow", {"solver": SOLVERS[solver]})
        for solver in ("sequential", "paper", "ours")
    ]
    ways.append(("flow, frame-causal", "frame-causal", {"solver": SOLVERS["ours"]}))
    ways += [
        (f"matching, {steps} steps", "matching", {"num_inference_steps": steps}) for steps in STEPS
    ]
    return [
        Sampler(name=name, pipe=models[model], how=how | {"guidance_scale": weights[model]})
        for name, model, how in ways
    ]


def measure(sampler: Sampler, captions: Sequence[str], scenes: Sequence[Captioned]) -> Any:
    """All figures of one sampler."""
    tell(sampler.name)
    ends = compare_ends(long_videos(sampler, [caption for _, caption in scenes]))
    seconds, frames = median(sampler.seconds), sampler.pipe.defaults.num_frames
    return {
        "evaluations": sampler.evaluations,
        **quality(sampler, captions),
        "drift_first": ends["first_second"]["all"],
        "drift_last": ends["last_second"]["all"],
        "drift": ends,
        "seconds": seconds,
        "fps": frames / seconds,
        "first_frame_seconds": median(sampler.first),
        "raw": {"seconds": sampler.seconds, "first_frame_seconds": sampler.first},
    }


def quality(sampler: Sampler, captions: Sequence[str]) -> dict[str, Any]:
    """What of its captions is right, and how smoothly its clips move."""
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    smooth = []
    for first in range(0, len(captions), BATCH):
        some = captions[first : first + BATCH]
        for clip, caption in zip(sampler.clips(some), some, strict=True):
            verdict = check(clip, caption)
            for name, values in right.items():
                values.append(getattr(verdict, name) is not False)
            smooth.append(motion_smoothness(clip))
    shares = {name: float(np.mean(values)) for name, values in right.items()}
    whole = shares.pop("all")
    return {
        "accuracy": whole,
        "accuracy_error": math.sqrt(whole * (1 - whole) / len(captions)),
        "attributes": shares | {"mean": float(np.mean(list(shares.values())))},
        "smoothness": float(np.mean(smooth)),
    }


def long_videos(sampler: Sampler, captions: Sequence[str]) -> list[Captioned]:
    """Of 10 times the trained length, with their captions."""
    frames = sampler.pipe.defaults.num_frames
    num_frames = 1 + 4 * (LONGER * frames // 4)
    found: list[Captioned] = []
    for first in range(0, len(captions), BATCH):
        some = captions[first : first + BATCH]
        found += zip(sampler.long_clips(some, num_frames), some, strict=True)
    return found


def likelihoods(models: dict[str, StarFlowVPipeline], count: int) -> dict[str, float]:
    """Bits per dimension of the same scenes' latents with the flow's noise."""
    scenes = held_out_scenes(models["flow"], count)
    sigma = models["flow"].config["noise_std"]
    found = {
        name: latent_quality(pipe, scenes)["bits_per_dim"]
        for name, pipe in models.items()
        if name != "matching"
    }
    return found | {"matching": matching_bits(models["matching"], scenes, sigma)}


def generators(count: int) -> list[Generator]:
    """One for each video, always the same."""
    return [Generator().manual_seed(SEED + index) for index in range(count)]


def parameters(pipe: StarFlowVPipeline) -> int:
    """Of what makes latents; text encoder and codec are those of all."""
    models = [pipe.flow, pipe.denoiser]
    return sum(it.numel() for model in models if model is not None for it in model.parameters())


if __name__ == "__main__":
    main()
