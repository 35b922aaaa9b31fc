"""What solvers take at equal error, over several clips: one clip alone says little.

    python benchmarks/several_clips.py [--model FOLDER] [--clips 8] [--guidance W] [--solver NAME]

For each held-out caption and guidance weight `paper-tight` and the solvers find the loosest
tolerance (four to a decade) at which their largest error against the sequential answer is under
1e-2 standard deviations; then sums over the clips are compared. A flow may stretch the rounding of
float32 beyond that error, so that no tolerance is right: where that happens to any solver, the clip
is left out and counted. Seconds are the processor's, of both halves of the flow.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from embedded_quality import SEED, held_out_scenes
from report import environment, print_report
from sampling import BENCHMARK_MODEL, WEIGHTS, clip_of, lines, open_model, show

from starflow_v import StarFlowVPipeline
from starflow_v.benchmark.clip import Clip, Made, make_clip
from starflow_v.benchmark.error import forward_error
from starflow_v.benchmark.solvers import (
    SEQUENTIAL,
    SOLVERS,
    finds_its_tolerance,
    solver_of,
    tighten,
)
from starflow_v.flow.solver import Solver

PAPER = "paper-tight"


def main() -> None:
    """Measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=BENCHMARK_MODEL)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--guidance", type=float, nargs="+", default=list(WEIGHTS))
    parser.add_argument("--solver", nargs="+", default=["ours-tight"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.solver:
        if not finds_its_tolerance(name):
            parser.error(f"--solver {name} keeps its tolerance; expected one that ends in -tight")
    solvers = dict([(PAPER, SOLVERS[PAPER]), *map(solver_of, options.solver)])
    pipe = open_model(options.model)
    found = {
        f"{weight:g}": compare(pipe, solvers, options.clips, weight) for weight in options.guidance
    }
    for weight, it in found.items():
        show(f"guidance {weight}: {it['used']} of {options.clips} clips", lines(it["sums"]))
        show(f"over {PAPER}", lines(it["ratios"]))
    print_report(
        "several_clips",
        settings={
            "clips": options.clips,
            "guidance": options.guidance,
            "solvers": list(solvers),
        },
        environment=environment(options.model, device="cpu", dtype="float32", seed=SEED),
        results=found,
    )


def compare(
    pipe: StarFlowVPipeline, solvers: dict[str, Solver], count: int, weight: float
) -> dict[str, Any]:
    """Sums over the clips for which every solver has a tolerance, and their ratios."""
    rows = []
    for seed, (_, caption) in enumerate(held_out_scenes(pipe, count)):
        print(f"guidance {weight:g}: {caption}", file=sys.stderr, flush=True)
        rows.append(at_equal_error(pipe, solvers, clip_of(pipe, caption, seed), weight))
    used = [row for row in rows if row is not None]
    if not used:
        return {"used": 0, "clips": rows, "sums": {}, "ratios": {}}
    sums = {name: total([row[name] for row in used]) for name in used[0]}
    ratios = {
        name: {key: it / sums[PAPER][key] for key, it in spent.items()}
        for name, spent in sums.items()
    }
    return {"used": len(used), "clips": rows, "sums": sums, "ratios": ratios}


def at_equal_error(
    pipe: StarFlowVPipeline, solvers: dict[str, Solver], clip: Clip, weight: float
) -> dict[str, dict[str, float]] | None:
    """What each solver takes of a clip; `None`: one of them has no tolerance that is right."""
    exact = make_clip(pipe, clip, SOLVERS[SEQUENTIAL], weight, whole=False).x
    spent = {}
    for name, solver in solvers.items():
        tight = tighten(
            solver,
            lambda it: forward_error(make_clip(pipe, clip, it, weight, whole=False).x, exact),
        )
        if asdict(tight)["tolerance"] == 0:  # type: ignore[call-overload]
            return None
        made = make_clip(pipe, clip, tight, weight, whole=False, clock=time.process_time)
        spent[name] = costs(pipe, made)
    return spent


def costs(pipe: StarFlowVPipeline, made: Made) -> dict[str, float]:
    """Of both halves, and of the deep one alone."""
    tokens = pipe.flow.grid(made.z).tokens * made.z.shape[1]
    evaluations = made.deep.evaluations, made.shallow.evaluations
    passes = made.deep.tokens / tokens, made.shallow.tokens / tokens
    return {
        "seconds": made.seconds["deep"] + made.seconds["shallow"],
        "evaluations": sum(evaluations),
        "passes": sum(passes),
        "deep evaluations": evaluations[0],
        "deep passes": passes[0],
    }


def total(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Sums, key by key."""
    return {key: sum(row[key] for row in rows) for key in rows[0]}


if __name__ == "__main__":
    main()
