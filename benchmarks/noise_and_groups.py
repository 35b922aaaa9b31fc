"""The curve over training noise, groups per frame and token order: which model to train.

    python benchmarks/noise_and_groups.py train --folder runs/noise_and_groups [--models NAME ...]
    python benchmarks/noise_and_groups.py measure --folder runs/noise_and_groups

`train` runs `starflow-v train configs/noise_and_groups.yaml` once for each model that the folder
does not hold yet, one after the other; stopped, it goes on where it was. All see the same batches
for as many steps. `measure` reads what is there, keeps what it has measured beside each model, so
that it goes on, too, and tells of each model, on held-out scenes,

- `bits_per_dim`: bits per dimension of the noised pixels. Of one noise level it compares models;
  between two it does not, as less noise leaves more to tell.
- `above_noise`: the same less those of the noise alone, log2(sigma sqrt(2 pi e)): what the flow
  tells of the picture.
- `pixel_bits`: a bound on the bits of the clean pixels themselves, comparable throughout: what the
  flow tells of them, and what is still missing where the denoised picture is known (see
  `missing_bits`).
- `denoised_psnr`: of denoised pixels, in dB.
- `accuracy`: the share of clips right in colour, shape, motion and background, and of each;
  `attributes`: the mean of these four.
- `rows`: solvers at the model's guidance, as `starflow-v benchmark` measures them; seconds are
  the processor's.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from embedded_quality import SEED, caption_accuracy, held_out_scenes
from report import environment, print_report, weights_hash
from sampling import PROMPT, clip_of, open_model
from torch import Generator, Tensor

from starflow_v import StarFlowVPipeline
from starflow_v.benchmark.campaign import Campaign
from starflow_v.benchmark.solvers import SOLVERS
from starflow_v.data.pixels import to_frames
from starflow_v.training.objectives import bits_per_dimension, negative_log_likelihood

CONFIG = Path(__file__).parents[1] / "configs/noise_and_groups.yaml"
MODELS = {  # name -> what it changes in the configuration
    "noise_0.1": ["noise_std=0.1"],
    "noise_0.2": ["noise_std=0.2"],
    "noise_0.3": [],
    "noise_0.5": ["noise_std=0.5"],
    "groups_16": ["flow.deep_groups=16"],
    "groups_4": ["flow.deep_groups=4"],
    "groups_1": ["flow.deep_groups=1"],
    "coarse_to_fine": ["flow.deep_order=coarse_to_fine"],
    "dilated_4": ["flow.deep_order=dilated", "flow.deep_groups=4"],
    "dilated_4_rows": ["flow.deep_order=dilated", "flow.deep_groups=4", "flow.shallow_groups=8"],
}
MEASURED = ("sequential", "paper", "ours")
HALF_BIN = 1 / 256
"""Half the distance of two levels of a pixel, in units of the latents."""


def main() -> None:
    """Train or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("half", choices=["train", "measure"])
    parser.add_argument("--folder", type=Path, default=Path("runs/noise_and_groups"))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--cache", type=Path, help="of latents; default: in the folder")
    parser.add_argument("--changes", nargs="+", metavar="KEY=VALUE", default=[], help="for all")
    parser.add_argument("--captions", type=int, default=100, help="also clips of the likelihood")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if options.half == "measure":
        measure_all(options)
        return
    cache = options.cache or options.folder / "latents"
    for name in options.models:
        train(
            options.folder / name,
            [*MODELS[name], f"data.cache={cache}", *options.changes],
        )


def train(folder: Path, changes: list[str]) -> None:
    """One model by the command line, unless its pipeline is there."""
    if (folder / "pipeline" / "model_index.json").is_file():
        return
    command = [sys.executable, "-m", "starflow_v.cli.main", "train", str(CONFIG)]
    print(f"{folder.name}: {' '.join(changes)}", flush=True)
    subprocess.run([*command, f"trainer.folder={folder}", *changes], check=True)


def measure_all(options: argparse.Namespace) -> None:
    """All models that are there: a table, then the JSON line."""
    torch.set_num_threads(1)
    folders = {name: options.folder / name / "pipeline" for name in options.models}
    there = {name: it for name, it in folders.items() if (it / "model_index.json").is_file()}
    if not there:
        raise SystemExit(f"{options.folder} holds none of the models: train them first")
    results = {}
    for name, folder in there.items():
        print(name, file=sys.stderr, flush=True)
        results[name] = measured(folder, options.captions, options.runs)
    print("\n".join(table(results)))
    print_report(
        "noise_and_groups",
        settings={
            "captions": options.captions,
            "runs": options.runs,
            "changes": {name: MODELS[name] for name in there},
        },
        environment=environment(None, device="cpu", dtype="float32", seed=SEED)
        | {"weights_sha256": weights_hash(*there.values())},
        results=results,
    )


def measured(folder: Path, number: int, runs: int) -> dict[str, Any]:
    """All figures of one model, from the file beside it if weights, code and settings are those."""
    about = environment(folder, device="cpu", dtype="float32", seed=SEED)
    about = json.loads(json.dumps(about | {"captions": number, "runs": runs}))
    kept = folder.parent / "measured.json"
    if kept.is_file():
        before = json.loads(kept.read_text("utf-8"))
        if before["about"] == about:
            found: dict[str, Any] = before["results"]
            return found
    found = measure(open_model(folder), number, runs)
    kept.write_text(json.dumps({"about": about, "results": found}), "utf-8")
    return found


def measure(pipe: StarFlowVPipeline, number: int, runs: int) -> dict[str, Any]:
    """All figures of one model."""
    campaign = Campaign(
        pipe=pipe,
        clip=clip_of(pipe, PROMPT),
        solvers={name: SOLVERS[name] for name in MEASURED},
        weights=[pipe.defaults.guidance_scale],
        warm_ups=1,
        runs=runs,
        clock=time.process_time,
    )
    accuracy = caption_accuracy(pipe, number, solver=SOLVERS["ours"])
    return {
        "noise_std": pipe.config["noise_std"],
        "groups": pipe.flow.config["deep_groups"],
        "order": pipe.flow.config["deep_order"],
        **likelihood(pipe, held_out_scenes(pipe, number)),
        "accuracy": accuracy,
        "attributes": mean(share for name, share in accuracy.items() if name != "all"),
        "rows": [asdict(row) for row in campaign.rows()],
    }


@torch.no_grad()
def likelihood(
    pipe: StarFlowVPipeline, scenes: Sequence[tuple[Any, str]], *, batch: int = 20
) -> dict[str, float]:
    """Bits of noised and of clean pixels, and how near denoising comes."""
    sigma, bits, errors = pipe.config["noise_std"], [], []
    for first in range(0, len(scenes), batch):
        clips, captions = zip(*scenes[first : first + batch], strict=True)
        clean = pipe.codec.encode(to_frames(clips))
        text, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
        eps = torch.randn(clean.shape, generator=Generator().manual_seed(SEED + first))
        x = clean + sigma * eps
        z, log_det = pipe.flow(x, text, return_dict=False)
        bits.append(bits_per_dimension(negative_log_likelihood(z, log_det)))
        errors.append((pipe.denoiser.denoise(x, text) - clean).flatten())
    error = torch.cat(errors)
    told = float(torch.cat(bits).mean())
    above = told - math.log2(sigma * math.sqrt(2 * math.pi * math.e))
    return {
        "bits_per_dim": told,
        "above_noise": above,
        "pixel_bits": above + missing_bits(error),
        "denoised_psnr": 10 * math.log10(4 / float(error.square().mean())),
    }


def missing_bits(error: Tensor) -> float:
    """Bits per pixel to correct a denoised picture, whose errors are given.

    For any P(c | x) the bits of clean pixels c are at most the mean, over x = c + sigma · eps, of

        -log2 p(x) + log2 N(x; c, sigma²) - log2 P(c | x).

    The first two make `above_noise`. P(c | x) is here a Laplace distribution around what the
    denoiser makes of x, summed over the bin of c; its one scale is that of the errors themselves.
    """
    distance, scale = error.double().abs(), float(error.abs().mean())
    inside = torch.log1p(-math.exp(-HALF_BIN / scale) * torch.cosh(distance / scale))
    outside = math.log(math.sinh(HALF_BIN / scale)) - distance / scale
    nats = torch.where(distance < HALF_BIN, inside, outside)
    return -float(nats.mean()) / math.log(2)


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of a Markdown table."""
    lines = [
        "| model | noise | groups | bits, noised | above noise | bits, clean | PSNR | captions "
        "right | attributes right | evaluations: "
        + ", ".join(MEASURED)
        + " | seconds of the flow |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, it in results.items():
        rows = it["rows"]
        evaluations = [str(sum(row["evaluations"].values())) for row in rows]
        seconds = [f"{row['seconds']['deep'] + row['seconds']['shallow']:.2f}" for row in rows]
        lines.append(
            f"| {name} | {it['noise_std']:g} | {it['groups'] or 'none'} | "
            f"{it['bits_per_dim']:.3f} | {it['above_noise']:.3f} | {it['pixel_bits']:.3f} | "
            f"{it['denoised_psnr']:.1f} | {it['accuracy']['all']:.0%} | "
            f"{it['attributes']:.0%} | "
            f"{', '.join(evaluations)} | {', '.join(seconds)} |"
        )
    return lines


if __name__ == "__main__":
    main()
