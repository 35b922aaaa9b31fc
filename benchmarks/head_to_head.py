"""Autoregressive flow against causal flow matching on scenes: quality against seconds.

    python benchmarks/head_to_head.py --flow FOLDER --matching FOLDER [--frame-causal FOLDER]

The models are trained for this with equal parameters, data and processor time, each by its own
command (`configs/embedded.yaml`; the same with `flow.deep_groups=1`; `configs/matching.yaml`), on
one codec. Samplers: the flow by the sequential solver, the paper's and ours; the frame-causal flow
(one evaluation a frame in the deep block); flow matching by 1, 2, 4, 10 and 50 Euler steps a frame.
Each is asked for the same captions that training never showed, at its own guidance.

- accuracy: the share of clips right in colour, shape, motion and background; `accuracy_error` is
  one standard error. smoothness: `starflow_v.evaluation.temporal`, the mean over clips.
- drift: a stream of 10 times the trained length; `drift_first` and `drift_last` are the shares of
  clips right in colour, shape and background in their first and last second.
- seconds, fps, first_frame_seconds: of one clip and of its stream, medians of runs in turn.
- likelihood: bits per dimension of latents with the flow's own noise, on the same scenes. Flow
  matching passes that noise level at t = 1/(1 + sigma) on its way, so its density there is asked
  (Hutchinson's estimate). Its past frames are clean, the flow's noisy: that is in its favour.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from embedded_quality import SEED, held_out_scenes, latent_quality
from long_videos import Captioned, compare_ends, lasting
from numpy.typing import NDArray
from report import environment, print_report
from torch import Generator, Tensor

from starflow_v import StarFlowVFlowMatchingPipeline, StarFlowVPipeline
from starflow_v.baselines.flow_matching import interpolate
from starflow_v.baselines.integrators import Euler
from starflow_v.baselines.likelihood import HutchinsonTrace, log_likelihood, random_signs
from starflow_v.benchmark.campaign import in_turn
from starflow_v.benchmark.solvers import SOLVERS
from starflow_v.data.pixels import from_unit, to_frames
from starflow_v.evaluation.scene_checker import check
from starflow_v.evaluation.temporal import motion_smoothness
from starflow_v.training.flow_report import held_out_captions

STEPS = (1, 2, 4, 10, 50)
LONGER = 10
LIKELIHOOD_STEPS = 50
BATCH = 10
PROMPT = "a small red star bounces on a gray background"
Clips = NDArray[np.uint8]


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
        begun = time.perf_counter()
        made = self.pipe(PROMPT, generator=generator, **self.how)
        spent = time.perf_counter() - begun
        assert made.deep is not None and made.shallow is not None
        self.evaluations = made.deep.evaluations + made.shallow.evaluations
        (generator,) = generators(1)
        begun = time.perf_counter()
        stream = self.pipe.stream(PROMPT, generator=generator, **self.how)
        next(stream)
        waited = time.perf_counter() - begun
        stream.close()
        if counts:
            self.seconds.append(spent)
            self.first.append(waited)


def main() -> None:
    """Measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", type=Path, required=True)
    parser.add_argument("--matching", type=Path, required=True)
    parser.add_argument("--frame-causal", type=Path)
    parser.add_argument("--captions", type=int, default=100, help="also clips of the likelihood")
    parser.add_argument("--long", type=int, default=20, help="long videos")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-ups", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    flow, matching = StarFlowVPipeline, StarFlowVFlowMatchingPipeline
    models = {"flow": flow.from_pretrained(options.flow)}
    models["matching"] = matching.from_pretrained(options.matching)
    if options.frame_causal is not None:
        models["frame-causal"] = flow.from_pretrained(options.frame_causal)
    for pipe in models.values():
        pipe.set_progress_bar_config(disable=True)
    samplers = all_samplers(models)
    in_turn(samplers, warm_ups=options.warm_ups, runs=options.runs, tell=tell)
    captions, scenes = held_out_captions(options.captions, seed=SEED), lasting(options.long)
    measured = {it.name: measure(it, captions, scenes) for it in samplers}
    results = {
        "samplers": measured,
        "likelihood": likelihoods(models, options.captions),
        "parameters": {name: parameters(pipe) for name, pipe in models.items()},
    }
    for name, it in measured.items():
        print(f"{name:24}", *(f"{key} {it[key]:.3g}" for key in SHOWN), sep="  ")
    print(results["likelihood"], results["parameters"])
    about = environment(options.flow, device="cpu", dtype="float32", seed=SEED)
    settings = {key: str(value) for key, value in vars(options).items()}
    print_report("head_to_head", settings=settings, environment=about, results=results)


SHOWN = ("evaluations", "accuracy", "smoothness", "drift_last", "fps", "first_frame_seconds")


def tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def all_samplers(models: dict[str, StarFlowVPipeline]) -> list[Sampler]:
    """Every way to sample every model."""
    found = [
        Sampler(name=f"flow, {name}", pipe=models["flow"], how={"solver": SOLVERS[name]})
        for name in ("sequential", "paper", "ours")
    ]
    if "frame-causal" in models:
        how = {"solver": SOLVERS["ours"]}
        found.append(Sampler(name="flow, frame-causal", pipe=models["frame-causal"], how=how))
    return found + [
        Sampler(
            name=f"matching, {steps} steps",
            pipe=models["matching"],
            how={"num_inference_steps": steps},
        )
        for steps in STEPS
    ]


def measure(sampler: Sampler, captions: Sequence[str], scenes: Sequence[Captioned]) -> Any:
    """All figures of one sampler."""
    tell(sampler.name)
    right: dict[str, list[bool]] = {name: [] for name in ("color", "shape", "motion", "all")}
    smooth = []
    for first in range(0, len(captions), BATCH):
        some = captions[first : first + BATCH]
        for clip, caption in zip(sampler.clips(some), some, strict=True):
            verdict = check(clip, caption)
            for name, values in right.items():
                values.append(getattr(verdict, name) is not False)
            smooth.append(motion_smoothness(clip))
    shares = {name: float(np.mean(values)) for name, values in right.items()}
    ends = compare_ends(long_videos(sampler, [caption for _, caption in scenes]))
    seconds, frames = median(sampler.seconds), sampler.pipe.defaults.num_frames
    return {
        "evaluations": sampler.evaluations,
        "accuracy": shares["all"],
        "accuracy_error": math.sqrt(shares["all"] * (1 - shares["all"]) / len(captions)),
        "attributes": shares,
        "smoothness": float(np.mean(smooth)),
        "drift_first": ends["first_second"]["all"],
        "drift_last": ends["last_second"]["all"],
        "drift": ends,
        "seconds": seconds,
        "fps": frames / seconds,
        "first_frame_seconds": median(sampler.first),
        "raw": {"seconds": sampler.seconds, "first_frame_seconds": sampler.first},
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


def matching_bits(pipe: StarFlowVPipeline, scenes: Sequence[Any], sigma: float) -> float:
    """Bits per dimension of x = clean + sigma · eps under flow matching, given clean past frames.

    With t = 1/(1 + sigma), t·x lies where the paths are at time t; so log p(x) is the log density
    there plus log t for each dimension.
    """
    stop = 1 / (1 + sigma)
    pipe.flow.requires_grad_(False)
    bits = []
    for first in range(0, len(scenes), BATCH):
        clips, captions = zip(*scenes[first : first + BATCH], strict=True)
        with torch.no_grad():
            clean = pipe.codec.encode(to_frames(clips))
            text, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
        generator = Generator().manual_seed(SEED + first)
        eps = torch.randn(clean.shape, generator=generator)
        x = interpolate(eps, clean, torch.full(clean.shape[:1], stop))

        def velocity(
            share: Tensor, x: Tensor, clean: Tensor = clean, text: Tensor = text
        ) -> Tensor:
            times = (stop * share).expand(clean.shape[:2])
            return stop * pipe.flow(x, times, clean, text)

        signs = random_signs(x, count=1, generator=generator)
        there = log_likelihood(
            velocity, x, integrator=Euler(LIKELIHOOD_STEPS), divergence=HutchinsonTrace(signs)
        )
        dimensions = clean[0].numel()
        bits.append(-(there / dimensions + math.log(stop)) / math.log(2))
    return float(torch.cat(bits).mean())


def generators(count: int) -> list[Generator]:
    """One for each video, always the same."""
    return [Generator().manual_seed(SEED + index) for index in range(count)]


def parameters(pipe: StarFlowVPipeline) -> int:
    """Of what makes latents; text encoder and codec are those of all."""
    models = [pipe.flow, pipe.denoiser]
    return sum(it.numel() for model in models if model is not None for it in model.parameters())


if __name__ == "__main__":
    main()
