"""Several solvers at several guidance weights on one clip, in turn, again and again.

Machines grow slower and faster while one measures. So the runs of all cases are interleaved, and a
row tells medians, with every run beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Protocol

from torch import Generator, Tensor

from starflow_v.benchmark.clip import Clip, Made, make_clip
from starflow_v.benchmark.error import backward_error, forward_error
from starflow_v.benchmark.memory import PeakMemory
from starflow_v.benchmark.solvers import SEQUENTIAL, SOLVERS, finds_its_tolerance, tighten
from starflow_v.benchmark.stopwatch import Clock, synchronize
from starflow_v.flow.solver import Solver
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.sampling.overlap import Stages

Told = Callable[[str], None]


class Case(Protocol):
    """Something that is run again and again."""

    def run(self, *, first: bool, counts: bool) -> None:
        """Once more.

        Args:
            first: whether it is the first time: when memory is looked at, not time.
            counts: whether it is no warm-up.
        """


def in_turn(
    cases: Sequence[Case],
    *,
    warm_ups: int,
    runs: int,
    tell: Told = lambda message: None,
) -> None:
    """Run every case once, then every case again, and so on."""
    if runs < 1 or warm_ups < 0:
        raise ValueError(f"runs={runs} and warm_ups={warm_ups}: expected at least 1 and 0")
    for index in range(warm_ups + runs):
        tell(f"run {index + 1} of {warm_ups + runs}")
        for case in cases:
            case.run(first=index == 0, counts=index >= warm_ups)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one solver at one guidance weight took.

    Args:
        solver: its name.
        guidance: w.
        parameters: of the solver.
        evaluations: calls of the network one after the other, of the `deep` and `shallow` halves.
        passes: tokens evaluated over tokens of the clip, of both halves.
        seconds: median of each stage and of the `total` of a clip made stage by stage, by the
            campaign's clock; those of streams are always the wall's.
        first_frame_seconds: until a stream of the same clip hands out its first frame.
        fps: frames of the clip over its total.
        fps_steady: frames a second of the stream after the first; `None` of a single frame.
        backward_error: see `starflow_v.benchmark.error`.
        max_error: the forward error; `None` without a sequential answer.
        peak_bytes: the most memory, model and all.
        raw: the runs.
    """

    solver: str
    guidance: float
    parameters: dict[str, Any]
    evaluations: dict[str, int]
    passes: dict[str, float]
    seconds: dict[str, float]
    first_frame_seconds: float
    fps: float
    fps_steady: float | None
    backward_error: float
    max_error: float | None
    peak_bytes: int
    raw: list[dict[str, Any]]


@dataclass(kw_only=True)
class SolverCase:
    """One solver at one weight, its errors known, and its runs so far."""

    pipe: StarFlowVPipeline
    clip: Clip
    name: str
    solver: Solver
    weight: float
    made: Made
    forward: float | None
    clock: Clock
    peak: int = 0
    runs: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        made, flow = self.made, self.pipe.flow
        tokens = flow.grid(made.z).tokens * made.z.shape[1]
        halves = {"deep": made.deep, "shallow": made.shallow}
        self.evaluations = {half: cost.evaluations for half, cost in halves.items()}
        self.passes = {half: cost.tokens / tokens for half, cost in halves.items()}
        self.backward = backward_error(flow, made, self.solver)

    def run(self, *, first: bool, counts: bool) -> None:
        with PeakMemory(self.pipe.device) if first else nullcontext() as memory:
            made = make_clip(self.pipe, self.clip, self.solver, self.weight, clock=self.clock)
        if memory is not None:
            self.peak = memory.bytes
        streamed = time_stream(self.pipe, self.clip, self.solver, self.weight)
        if counts:
            self.runs.append({"seconds": made.seconds, **streamed})

    def row(self) -> Row:
        """Medians over the runs that counted."""
        seconds = {
            name: median(run["seconds"][name] for run in self.runs) for name in self.made.seconds
        }
        steady = [run["fps_steady"] for run in self.runs]
        return Row(
            solver=self.name,
            guidance=self.weight,
            parameters=asdict(self.solver),  # type: ignore[call-overload]
            evaluations=self.evaluations,
            passes=self.passes,
            seconds=seconds,
            first_frame_seconds=median(run["first_frame_seconds"] for run in self.runs),
            fps=self.clip.num_frames / seconds["total"],
            fps_steady=None if None in steady else median(steady),
            backward_error=self.backward,
            max_error=self.forward,
            peak_bytes=self.peak,
            raw=self.runs,
        )


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is measured, and how often.

    Args:
        pipe: the model.
        clip: what is made.
        solvers: name -> solver; those that end in `-tight` find their own tolerance.
        weights: of guidance.
        warm_ups: runs that do not count; the first one tells the memory.
        runs: runs that count.
        reference: whether a sequential answer is made to compare with.
        clock: what counts the seconds of the stages.
        tell: told what runs now.
    """

    pipe: StarFlowVPipeline
    clip: Clip
    solvers: Mapping[str, Solver]
    weights: Sequence[float]
    warm_ups: int = 2
    runs: int = 5
    reference: bool = True
    clock: Clock = time.perf_counter
    tell: Told = lambda message: None

    def __post_init__(self) -> None:
        tight = [name for name in self.solvers if finds_its_tolerance(name)]
        if tight and not self.reference:
            raise ValueError(f"{tight[0]} is found by its error: it needs the sequential answer")

    def rows(self, others: Sequence[Case] = ()) -> list[Row]:
        """Measure all, in turn with other cases; a row for each solver and weight."""
        cases = [case for weight in self.weights for case in self._cases(weight)]
        in_turn([*cases, *others], warm_ups=self.warm_ups, runs=self.runs, tell=self.tell)
        return [case.row() for case in cases]

    def _cases(self, weight: float) -> list[SolverCase]:
        """Every solver at a weight."""
        exact = self._solved(SOLVERS[SEQUENTIAL], weight).x if self.reference else None
        return [self._case(name, weight, exact) for name in self.solvers]

    def _case(self, name: str, weight: float, exact: Tensor | None) -> SolverCase:
        self.tell(f"{name}, guidance {weight:g}: errors")
        solver = self.solvers[name]
        if finds_its_tolerance(name) and exact is not None:
            solver = tighten(solver, lambda it: forward_error(self._solved(it, weight).x, exact))
        made = self._solved(solver, weight)
        return SolverCase(
            pipe=self.pipe,
            clip=self.clip,
            name=name,
            solver=solver,
            weight=weight,
            made=made,
            clock=self.clock,
            forward=None if exact is None else forward_error(made.x, exact),
        )

    def _solved(self, solver: Solver, weight: float) -> Made:
        return make_clip(self.pipe, self.clip, solver, weight, whole=False)


def time_stream(
    pipe: StarFlowVPipeline,
    clip: Clip,
    solver: Solver,
    weight: float,
    stages: Stages | None = None,
) -> dict[str, float | None]:
    """A stream of the clip: seconds until its first frame, and frames a second after that.

    Args:
        pipe: the model.
        clip: what is made.
        solver: of both halves.
        weight: w of density guidance.
        stages: how the stages follow each other; `None`: as the pipeline does it.
    """
    synchronize(pipe.device)
    begun = time.perf_counter()
    stream = pipe.stream(
        clip.prompt,
        height=clip.height,
        width=clip.width,
        num_frames=clip.num_frames,
        guidance_scale=weight,
        generator=Generator().manual_seed(clip.seed),
        output_type="pt",
        solver=solver,
        stages=stages,
    )
    arrived, counts = [], []
    for frames in stream:
        synchronize(pipe.device)
        arrived.append(time.perf_counter())
        counts.append(int(frames.shape[1]))
    several = len(arrived) > 1
    return {
        "first_frame_seconds": arrived[0] - begun,
        "stream_seconds": arrived[-1] - begun,
        "fps_steady": sum(counts[1:]) / (arrived[-1] - arrived[0]) if several else None,
    }
