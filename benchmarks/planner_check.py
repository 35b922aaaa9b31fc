"""How far the planner's predictions are from what happens on this CPU.

    python benchmarks/planner_check.py

Time, and where it is large memory, of three streams, predicted before and measured while they run:

    embedded    the model in the package, float32, sequential
    large       the 7B model's widths with fewer layers and random weights, about 2 GB in bfloat16;
                one Jacobi sweep for each block of 128 tokens
    sequential  the same model, one token an evaluation, a smaller video

Memory is what is allocated above what Python and its libraries take; for a small model that is no
measure, since Python's own objects vary by more. Times are the processor's, of each stage. It also
counts, on the benchmark model, the passes and spans that the planner's own schemes are made of.
"""

import argparse
import gc
import time
from dataclasses import dataclass
from typing import Any

import torch
from embedded_quality import held_out_scenes
from memory import PeakMemory
from released_size import make_vae, small_7b
from report import environment, print_report
from sampling import BENCHMARK_MODEL, open_model
from torch import Generator, nn

from starflow_v import (
    DensityGuidance,
    JacobiSolver,
    SequentialSolver,
    StarFlowVPipeline,
)
from starflow_v.assets import embedded_model
from starflow_v.benchmark.solvers import SOLVERS
from starflow_v.benchmark.stopwatch import Stopwatch
from starflow_v.flow.solver import Cost, Solver
from starflow_v.planner import (
    EVERYTHING_ON_DEVICE,
    SCHEMES,
    Blueprint,
    Device,
    Job,
    Need,
    Planner,
    Scheme,
    measure_cpu,
    memory_of,
)
from starflow_v.planner.schemes import Effort
from starflow_v.planner.stages import STAGES
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.sampling.stages import DeepStage, DenoiseStage, ShallowStage
from starflow_v.text import tiny_text_encoder

PROMPT = "a red circle moves right on a blue background"
SEED = 0
SPAN = 128
COUNTED = ("paper", "ours")
CAPTIONS, GUIDANCE = 8, 3.5
"""Of the counts."""


def main() -> None:
    """Predict, run, compare; tables, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    torch.set_num_threads(1)
    sequential = SCHEMES["sequential"]
    effort = Effort(passes=1, span=SPAN)
    sweep = Scheme(name="one sweep", deep=effort, shallow=effort, source="given")
    results = {}

    blueprint = Blueprint.from_folder(embedded_model()).in_precision(torch.float32)
    plan = predict(blueprint, Job.of(blueprint), sequential)
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    pipe.set_progress_bar_config(disable=True)
    run(pipe, plan.job, SequentialSolver())  # warm up
    results["embedded"] = compare(plan, run(pipe, plan.job, SequentialSolver()))
    del pipe
    gc.collect()

    blueprint = large_blueprint()
    plan = predict(blueprint, Job.of(blueprint, height=240, width=432, num_frames=9), sweep)
    with PeakMemory() as peak:
        pipe = large_pipeline(torch.device("cpu"))
        solver = JacobiSolver(block_size=SPAN, max_sweeps=1, tolerance=1e30)
        watch = run(pipe, plan.job, solver)
    results["large"] = compare(plan, watch, peak)
    gc.collect()
    plan = predict(blueprint, Job.of(blueprint, height=64, width=64, num_frames=5), sequential)
    results["sequential"] = compare(plan, run(pipe, plan.job, SequentialSolver()))

    for name, result in results.items():
        print_comparison(name, result)
    efforts = count_efforts(open_model(BENCHMARK_MODEL))
    print(efforts)
    print_report(
        "planner_check",
        settings={"span": SPAN},
        environment=environment(
            embedded_model(), device="cpu", dtype="float32, bfloat16", seed=SEED
        ),
        results=results | {"efforts": efforts},
    )


def large_pipeline(device: torch.device) -> StarFlowVPipeline:
    """Random weights in bfloat16; none on meta."""
    description = small_7b(deep_layers=2)
    flow, denoiser = description.models()
    width = int(flow.config["text_dim"])
    torch.manual_seed(SEED)
    encoder, tokenizer = tiny_text_encoder([PROMPT], width=width, layers=1, heads=32)
    pipe = StarFlowVPipeline(
        flow.eval(),
        denoiser,
        make_vae().eval(),
        encoder.eval(),
        tokenizer,
        **description.settings(),
    )
    pipe.set_progress_bar_config(disable=True)
    for model in (flow, denoiser):
        nn.Module.to(model, torch.bfloat16).to_empty(device=device)
        if device.type == "cpu":
            for weight in model.parameters():
                nn.init.normal_(weight, std=0.01)
    for model in (pipe.vae, pipe.text_encoder):
        nn.Module.to(model, device, torch.bfloat16)
    return pipe


def large_blueprint() -> Blueprint:
    """The same, without memory."""
    pipe = large_pipeline(torch.device("meta"))
    return Blueprint(
        name="large",
        flow=pipe.flow,
        denoiser=pipe.denoiser,
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        settings=dict(pipe.config),
    )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the planner says."""

    job: Job
    need: Need
    seconds: dict[str, float]
    device: Device


def predict(blueprint: Blueprint, job: Job, scheme: Scheme) -> Prediction:
    """Memory and time of a stream on this CPU."""
    dtype = next(blueprint.flow.parameters()).dtype
    stages = Planner(blueprint, job).stages(scheme)
    device = measure_cpu(dtype, clock=time.thread_time)
    return Prediction(
        job=job,
        need=memory_of(EVERYTHING_ON_DEVICE, blueprint, stages),
        seconds={name: stage.seconds(device, dtype) for name, stage in stages.items()},
        device=device,
    )


def compare(plan: Prediction, watch: Stopwatch, peak: PeakMemory | None = None) -> dict[str, Any]:
    """Prediction and measurement; without a peak, of time alone."""
    return {
        "weights": plan.need.weights,
        "memory": None if peak is None else error(plan.need.device, peak.anonymous),
        "seconds": {name: error(plan.seconds[name], watch.seconds[name]) for name in STAGES},
        "total": error(sum(plan.seconds.values()), sum(watch.seconds.values())),
        "device": {"flops": list(plan.device.flops.values()), "bandwidth": plan.device.bandwidth},
    }


def error(predicted: float, measured: float) -> dict[str, float]:
    """Both, and the error in units of what was measured."""
    return {
        "predicted": predicted,
        "measured": measured,
        "error": (predicted - measured) / measured,
    }


@torch.no_grad()
def run(pipe: StarFlowVPipeline, job: Job, solver: Solver) -> Stopwatch:
    """The stages of a stream, frame by frame, under a watch.

    It counts the processor's time: what other programs do meanwhile does not matter.
    """
    watch, codec = Stopwatch(torch.device("cpu"), clock=time.thread_time), pipe.codec
    frames = codec.latent_frames(job.num_frames)
    factor = codec.spatial_factor
    shape = (int(pipe.flow.config["in_channels"]), job.height // factor, job.width // factor)
    children = seed_children(Generator().manual_seed(SEED), 1)
    with watch.of("text"):
        text, null_text = pipe.encode_prompt(PROMPT, do_classifier_free_guidance=job.guidance > 0)
    noise = noise_frames(children, shape, frames=frames, device=torch.device("cpu"))
    deep = DeepStage(
        pipe.flow,
        text,
        frames=frames,
        solver=solver,
        null_text=null_text,
        guidance=DensityGuidance(job.guidance),
    )
    u = watch.watch("deep", deep(noise))
    x = watch.watch("shallow", ShallowStage(pipe.flow, solver)(u))
    clean = watch.watch("denoise", DenoiseStage(pipe.denoiser, text)(x))
    for _ in watch.watch("decode", codec.decode_stream(clean)):
        pass
    return watch


def count_efforts(pipe: StarFlowVPipeline) -> dict[str, dict[str, dict[str, float]]]:
    """How often solvers evaluate each token, in the deep block and in each shallow one, and how
    many tokens at a time: means over captions."""
    frames = pipe.codec.latent_frames(pipe.defaults.num_frames)
    blocks = len(pipe.flow.shallow.blocks)
    multiple = pipe.size_multiple
    grid = (pipe.defaults.height // multiple) * (pipe.defaults.width // multiple)
    captions = [caption for _, caption in held_out_scenes(pipe, CAPTIONS)]
    clips = len(captions)
    efforts = {}
    for name in COUNTED:
        deep, shallow = Cost(), Cost()
        for seed, caption in enumerate(captions):
            made = pipe(
                caption,
                guidance_scale=GUIDANCE,
                generator=Generator().manual_seed(seed),
                solver=SOLVERS[name],
                output_type="latent",
            )
            deep, shallow = deep + made.deep, shallow + made.shallow
        efforts[name] = {
            "deep": {
                "passes": deep.tokens / (clips * grid * frames),
                "span": deep.tokens / deep.evaluations,
            },
            "shallow": {
                "passes": shallow.tokens / (clips * grid * frames * blocks),
                "span": shallow.tokens / (frames * shallow.evaluations),
            },
        }
    return efforts


def print_comparison(name: str, result: dict[str, Any]) -> None:
    """One table."""
    print(f"\n{name} ({result['weights'] / 1e9:.2f} GB of weights)")
    print(f"{'':12}{'predicted':>12}{'measured':>12}{'error':>9}")
    rows = {"memory, MB": (result["memory"], 1e6)} if result["memory"] else {}
    rows |= {"total, s": (result["total"], 1.0)}
    rows |= {f"{stage}, s": (result["seconds"][stage], 1.0) for stage in STAGES}
    for label, (row, unit) in rows.items():
        predicted, measured = row["predicted"] / unit, row["measured"] / unit
        print(f"{label:12}{predicted:12.4g}{measured:12.4g}{row['error']:9.0%}")


if __name__ == "__main__":
    main()
