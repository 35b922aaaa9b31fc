"""How fast and how right solvers sample a model: the paper's scheme, ours, sequential, diffusion.

    python benchmarks/sampling.py --model runs/benchmark/pipeline [--easy FOLDER] [--quality 100]

- rows: every solver at guidance 0 and 3.5, as `starflow-v benchmark` measures them. `-tight` is a
  solver at the loosest tolerance (four to a decade) at which its largest error against the
  sequential answer is under 1e-2 standard deviations.
- ratios: in seconds of both halves of the flow, evaluations and passes: `ours-tight` (also with a
  narrower window and a wider one) and `ours` over `paper-tight` (equal error, or ours less),
  `ours` over `paper` (both at 0.001) and over `sequential`.
- baselines: diffusion of the same size on the same tokens, in turn with the solvers.
- stream: the first frame of a stream against its bound, and stages side by side against in series.
- easy: the same rows of a model that was trained to be easy to invert, and its costs over the
  other's; captions: what `ours` takes of both for several captions, since a clip alone says little;
  quality: likelihood and caption accuracy of both.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusion_baselines import baselines
from embedded_quality import caption_accuracy, held_out_scenes, latent_quality
from report import environment, print_report, weights_hash
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.benchmark.campaign import Campaign, Row, time_stream
from starflow_v.benchmark.clip import Clip, make_clip
from starflow_v.benchmark.report import describe, table
from starflow_v.benchmark.solvers import SOLVERS, solver_of
from starflow_v.benchmark.stopwatch import Stopwatch
from starflow_v.sampling.overlap import InSeries, SideBySide
from starflow_v.sampling.stages import ShallowStage

PROMPT = "a red circle moves right on a blue background"
WEIGHTS = (0.0, 3.5)
NARROW, WIDE = "ours-tight:span=64", "ours-tight:span=256"
"""More evaluations and fewer passes, for devices whose time is in the passes; the other way round,
for those whose time is in the evaluations."""
MEASURED = SOLVERS | dict([solver_of(NARROW), solver_of(WIDE)])
PAIRS = (
    ("ours-tight", "paper-tight"),
    (NARROW, "paper-tight"),
    (WIDE, "paper-tight"),
    ("ours", "paper-tight"),
    ("ours", "paper"),
    ("ours", "sequential"),
)
CAPTIONS = 8
"""Of the comparison over several captions."""
BENCHMARK_MODEL = Path(__file__).parent / "model"
MARGIN = 1.25
"""What the bound of the first frame allows for."""


def main() -> None:
    """Measure, print tables, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=BENCHMARK_MODEL)
    parser.add_argument("--easy", type=Path, help="a model trained to be easy to invert")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--warm-ups", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="store_true", help="count the processor's seconds")
    parser.add_argument("--quality", type=int, default=0, help="captions and clips; 0: none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    campaign = campaign_of(options.model, options)
    pipe, clip = campaign.pipe, campaign.clip
    made = make_clip(pipe, clip, SOLVERS["ours"], WEIGHTS[-1], whole=False)
    cases = baselines(pipe, clip, made, campaign.clock)
    rows = campaign.rows(cases)
    around = next(row for row in rows if row.solver == "ours").seconds
    results |= {
        "rows": [asdict(row) for row in rows],
        "ratios": ratios(rows),
        "baselines": {case.name: case.row(around) for case in cases},
        "stream": {f"{weight:g}": stream(pipe, clip, weight, options.runs) for weight in WEIGHTS},
    }
    show("solvers", table(results["rows"]))
    show("ratios", lines(results["ratios"]))
    show(
        "baselines",
        lines({key: it | it["seconds"] for key, it in results["baselines"].items()}),
    )
    show("stream", lines(results["stream"]))
    if options.easy is not None:
        easy = campaign_of(options.easy, options).rows()
        results["easy"] = {
            "rows": [asdict(row) for row in easy],
            "ratios": ratios(easy),
            "weights_sha256": weights_hash(options.easy),
        }
        results["easy_over_model"] = easy_over_model(rows, easy)
        show("easy", table(results["easy"]["rows"]))
        show("easy over model", lines(results["easy_over_model"]))
        results["captions"] = several_captions(pipe, open_model(options.easy))
        show("several captions", lines(results["captions"]))
    if options.quality:
        models = {"model": options.model} | ({"easy": options.easy} if options.easy else {})
        results["quality"] = {name: quality(it, options.quality) for name, it in models.items()}
        show("quality", lines(results["quality"]))
    about = environment(options.model, device="cpu", dtype="float32", seed=options.seed)
    settings = describe(campaign, rows, about)["settings"]
    settings |= {"quality": options.quality}
    print_report("sampling", settings=settings, environment=about, results=results)


def campaign_of(folder: Path, options: argparse.Namespace) -> Campaign:
    """All solvers at all weights on a clip of the model's own size."""
    pipe = open_model(folder)
    return Campaign(
        pipe=pipe,
        clip=clip_of(pipe, PROMPT, options.seed),
        solvers=MEASURED,
        weights=WEIGHTS,
        warm_ups=options.warm_ups,
        runs=options.runs,
        clock=time.process_time if options.processor else time.perf_counter,
        tell=lambda message: print(message, file=sys.stderr, flush=True),
    )


def open_model(folder: Path) -> StarFlowVPipeline:
    """A pipeline in float32 that draws no progress bars."""
    pipe = StarFlowVPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def clip_of(pipe: StarFlowVPipeline, prompt: str, seed: int = 0) -> Clip:
    """A clip of the model's own size."""
    size = pipe.defaults
    return Clip(
        prompt=prompt,
        height=size.height,
        width=size.width,
        num_frames=size.num_frames,
        seed=seed,
    )


def ratios(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Ours over the others, at every weight: figures below 1 are in its favour."""
    found = {}
    for weight in WEIGHTS:
        by_name = {row.solver: row for row in rows if row.guidance == weight}
        for ours, other in PAIRS:
            name = f"{ours} over {other}, guidance {weight:g}"
            found[name] = over(by_name[ours], by_name[other])
    return found


def costs(row: Row) -> dict[str, float]:
    """What the two halves of the flow take together."""
    return {
        "seconds": row.seconds["deep"] + row.seconds["shallow"],
        "evaluations": sum(row.evaluations.values()),
        "passes": sum(row.passes.values()),
    }


def easy_over_model(rows: Sequence[Row], easy: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Each solver on the easy model over the same on the other; then both savings together."""
    found = {
        f"{row.solver}, guidance {row.guidance:g}": over(other, row)
        for row, other in zip(rows, easy, strict=True)
    }
    for weight in WEIGHTS:
        ours = next(it for it in easy if (it.solver, it.guidance) == ("ours-tight", weight))
        other = next(it for it in rows if (it.solver, it.guidance) == ("paper-tight", weight))
        found[f"ours-tight on easy over paper-tight on raster, guidance {weight:g}"] = over(
            ours, other
        )
    return found


def several_captions(
    pipe: StarFlowVPipeline, easy: StarFlowVPipeline
) -> dict[str, dict[str, float]]:
    """Evaluations and passes of `ours` for held-out captions, in all, of both models."""
    found: dict[str, dict[str, float]] = {}
    captions = [caption for _, caption in held_out_scenes(pipe, CAPTIONS)]
    for weight in WEIGHTS:
        taken = {
            name: spent(it, captions, weight) for name, it in (("model", pipe), ("easy", easy))
        }
        ratio = {key: taken["easy"][key] / value for key, value in taken["model"].items()}
        for name, it in (taken | {"easy over model": ratio}).items():
            found[f"{name}, guidance {weight:g}"] = it
    return found


def spent(pipe: StarFlowVPipeline, captions: Sequence[str], weight: float) -> dict[str, float]:
    """What `ours` takes to make a clip of each caption."""
    evaluations = tokens = 0
    for seed, caption in enumerate(captions):
        made = pipe(
            caption,
            guidance_scale=weight,
            solver=SOLVERS["ours"],
            generator=Generator().manual_seed(seed),
            output_type="latent",
        )
        evaluations += made.deep.evaluations + made.shallow.evaluations
        tokens += made.deep.tokens + made.shallow.tokens
    height, width = pipe.defaults.height, pipe.defaults.width
    side = pipe.flow.config["patch_size"] * pipe.codec.spatial_factor
    frames = pipe.codec.latent_frames(pipe.defaults.num_frames)
    clip = frames * (height // side) * (width // side)
    return {"evaluations": evaluations, "passes": tokens / clip}


def over(row: Row, other: Row) -> dict[str, float]:
    """The costs of one over those of another."""
    return {key: costs(row)[key] / value for key, value in costs(other).items()}


def stream(pipe: StarFlowVPipeline, clip: Clip, weight: float, runs: int) -> dict[str, float]:
    """The first frame against its bound, and side by side against in series; medians.

    The bound: (look-ahead + 1)/T of the deep stage's time x 1.25, and what the other stages take
    until the first frame.
    """
    solver, ways = SOLVERS["ours"], {"series": InSeries(), "side_by_side": SideBySide()}
    times: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    parts = []
    for _ in range(runs):
        for name, stages in ways.items():
            times[name].append(time_stream(pipe, clip, solver, weight, stages))
        parts.append(until_first_frame(pipe, clip, weight))
    whole = median(part["whole deep"] for part in parts)
    own = median(sum(part[it] for it in ("shallow", "denoise", "decode")) for part in parts)
    lookahead = 0 if pipe.denoiser is None else pipe.denoiser.lookahead
    frames = pipe.codec.latent_frames(clip.num_frames)
    first = median(run["first_frame_seconds"] for run in times["side_by_side"])
    seconds = {name: median(run["stream_seconds"] for run in it) for name, it in times.items()}
    bound = MARGIN * min(1.0, (lookahead + 1) / frames) * whole + own
    return {
        "first_frame_seconds": first,
        "first_frame_bound": bound,
        "series_seconds": seconds["series"],
        "side_by_side_seconds": seconds["side_by_side"],
        "side_by_side_over_series": seconds["side_by_side"] / seconds["series"],
    }


@torch.no_grad()
def until_first_frame(pipe: StarFlowVPipeline, clip: Clip, weight: float) -> dict[str, float]:
    """Seconds of each stage until the first frame of a stream in series; of the deep one, all."""
    watch, solver = Stopwatch(pipe.device), SOLVERS["ours"]
    made = make_clip(pipe, clip, solver, weight, whole=False)
    deep = made.told.deep(pipe, solver, frames=made.z.shape[1])
    u = watch.watch("deep", deep(iter(made.z.split(1, dim=1))))
    x = watch.watch("shallow", ShallowStage(pipe.flow, solver)(u))
    clean = made.told.denoise(pipe)(x)
    next(watch.watch("decode", pipe.codec.decode_stream(watch.watch("denoise", clean))))
    return {**watch.seconds, "whole deep": made.seconds["deep"]}


def quality(folder: Path, number: int) -> dict[str, Any]:
    """Likelihood, denoising and caption accuracy at the model's own guidance, by `ours`."""
    pipe = open_model(folder)
    return {
        **caption_accuracy(pipe, number, solver=SOLVERS["ours"]),
        **latent_quality(pipe, held_out_scenes(pipe, number)),
    }


def show(title: str, text: str) -> None:
    print(f"\n{title}\n{text}", flush=True)


def lines(results: dict[str, dict[str, Any]]) -> str:
    """A line for each entry with its numbers."""
    return "\n".join(
        f"{name:40}"
        + "  ".join(
            f"{key} {value:.4g}" for key, value in numbers.items() if isinstance(value, int | float)
        )
        for name, numbers in results.items()
    )


if __name__ == "__main__":
    main()
