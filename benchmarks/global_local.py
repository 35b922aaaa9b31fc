"""What the global-local split buys: one flow, three arrangements of its shallow blocks.

    python benchmarks/global_local.py [--steps 400] [--captions 100] [--long 30] [--folder FOLDER]

Trains the same networks on the same batches in each arrangement of `arrangements.py` (a folder that
holds them already is measured only), then measures

- `bits_per_dim`: held-out likelihood, bits per dimension of the noised latents;
- `accuracy`: the share of clips whose colour, shape, motion and background are as the caption says;
- `drift`, over 5 times the trained length: the same for colour, shape and background of the first
  and of the last second; `same`: the share of clips that show one and the same scene in both
  (colour, shape, size, background); `jump`: the median over clips of the largest mean change of a
  pixel from one frame to the next, of 255. Captions are those of objects that stay in the picture;
- `cost` of a clip, of its first frame in a stream, and of a video of 5 times the length: calls of
  the network one after the other, tokens evaluated over tokens of the video, processor seconds of
  one thread.

A clip is solved whole, as a pipeline's call does it. The long video is streamed, by restarts with
the last frames where the arrangement has a way to go on from known frames; where it has none, it is
a row of clips that have only the caption in common.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from arrangements import ARRANGEMENTS, Arrangement
from embedded_quality import caption_accuracy, held_out_scenes, latent_quality
from long_videos import FRAMES, LONGER, Captioned, Stream, compare_ends, drift, lasting
from report import environment, print_report
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.flow.solver import Cost
from starflow_v.training.data.settings import SceneData
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import DenoiserShape, FlowSettings, FlowShape

PROMPT = "a small red star bounces on a gray background"


def main() -> None:
    """Train, measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--captions", type=int, default=100, help="also clips of the likelihood")
    parser.add_argument("--long", type=int, default=30, help="videos of 5 times the length")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/global_local"))
    parser.add_argument("--cache", type=Path, help="latents; made in the folder if not given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.folder / f"{options.steps}-steps-seed-{options.seed}"
    scenes = lasting(options.long)
    results: dict[str, Any] = {}
    for arrangement in ARRANGEMENTS:
        settings = training(arrangement, options, folder / "runs")
        pipe = trained(arrangement, settings, folder / "models" / arrangement.name)
        results[arrangement.name] = measure(arrangement, pipe, options.captions, scenes)
    results["scenes"] = {"drift": compare_ends(scenes)}
    print_table(results)
    told = asdict(settings)
    del told["trainer"]["folder"], told["data"]["cache"], told["vae"]
    print_report(
        "global_local",
        settings={"captions": options.captions, "long": options.long, "training": told},
        environment=environment(
            folder / "models", device="cpu", dtype="float32", seed=options.seed
        ),
        results=results,
    )


def training(arrangement: Arrangement, options: argparse.Namespace, runs: Path) -> FlowSettings:
    """The same for all, but for the folder."""
    return FlowSettings(
        trainer=TrainerSettings(
            folder=str(runs / arrangement.name),
            steps=options.steps,
            seed=options.seed,
            warmup=50,
            log_every=25,
            save_every=100,
            evaluate_every=options.steps,
            keep=1,
            threads=1,
        ),
        vae=str(embedded_model() / "vae"),
        data=SceneData(
            cache=str(options.cache or options.folder / "latents"),
            tasks={"video": 0.8, "extend": 0.2},
            clips={"video": 6144, "extend": 2048},
        ),
        flow=FlowShape(shallow_width=128, deep_width=128, shallow_layers=[2, 2], deep_layers=4),
        denoiser=DenoiserShape(width=64, layers=2, head_dim=32),
        noise_std=0.15,
        batch_size=32,
        lr=2e-3,
        muon_lr=0.02,
        average_decay=0.99,
    )


def trained(arrangement: Arrangement, settings: FlowSettings, folder: Path) -> StarFlowVPipeline:
    """The pipeline in a folder, made by training if it is not there."""
    if not (folder / "model_index.json").is_file():
        recipe = FlowRecipe(settings)
        arrangement.arrange(recipe.flow)
        recipe.prepare_data()
        trainer = Trainer(recipe, settings.trainer)
        if trainer.run() < settings.trainer.steps:
            raise SystemExit("stopped; start again to go on")
        trainer.export(folder)
    pipe = StarFlowVPipeline.from_pretrained(folder)
    arrangement.arrange(pipe.flow)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def measure(
    arrangement: Arrangement, pipe: StarFlowVPipeline, count: int, long_scenes: Sequence[Captioned]
) -> dict[str, Any]:
    """All figures of one arrangement."""
    return {
        "parameters": sum(it.numel() for it in pipe.flow.parameters()),
        **latent_quality(pipe, held_out_scenes(pipe, count)),
        "accuracy": caption_accuracy(pipe, count),
        "drift": drift(arrangement, pipe, [caption for _, caption in long_scenes]),
        "cost": {
            "clip": clip_cost(pipe),
            "first_frame": stream_cost(arrangement, pipe, FRAMES, frames=1),
            "long": stream_cost(arrangement, pipe, LONGER * FRAMES, runs=1),
        },
    }


def clip_cost(pipe: StarFlowVPipeline, *, runs: int = 5) -> dict[str, Any]:
    """Of one clip, solved whole: by a call of the pipeline."""
    seconds = []
    for seed in range(runs + 1):
        begun = time.process_time()
        made = pipe(PROMPT, generator=Generator().manual_seed(seed))
        seconds.append(time.process_time() - begun)
    assert made.deep is not None and made.shallow is not None
    return _cost(pipe, made.deep + made.shallow, FRAMES, seconds[1:])


def stream_cost(
    arrangement: Arrangement,
    pipe: StarFlowVPipeline,
    num_frames: int,
    *,
    frames: int | None = None,
    runs: int = 5,
) -> dict[str, Any]:
    """Of the first `frames` frames of a streamed video; `None`: of all."""
    seconds = []
    for seed in range(runs + 1):
        begun = time.process_time()
        stream = Stream(arrangement, pipe, [PROMPT], seed=seed, num_frames=num_frames)
        made = 0
        for some in stream:
            made += some.shape[1]
            if frames is not None and made >= frames:
                break
        seconds.append(time.process_time() - begun)
    return _cost(pipe, stream.cost, num_frames, seconds[1:])


def _cost(
    pipe: StarFlowVPipeline, cost: Cost, num_frames: int, seconds: list[float]
) -> dict[str, Any]:
    size, factor = pipe.defaults, pipe.codec.spatial_factor
    tokens = pipe.codec.latent_frames(num_frames) * (size.height * size.width // factor**2)
    return {
        "evaluations": cost.evaluations,
        "passes": cost.tokens / tokens,
        "seconds": statistics.median(seconds),
        "raw_seconds": seconds,
    }


def print_table(results: dict[str, Any]) -> None:
    """A column for each arrangement, a line for each figure."""
    columns = {name: dict(_flat(it)) for name, it in results.items()}
    names = [key for key in columns[ARRANGEMENTS[0].name] if "raw" not in key]
    print(" " * 32, *(f"{name:>18}" for name in columns))
    for key in names:
        cells = [it.get(key) for it in columns.values()]
        print(f"{key:32}", *(f"{'' if it is None else f'{it:.4g}':>18}" for it in cells))


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


if __name__ == "__main__":
    main()
