"""What decides the pixels of a video beside its prompt and its seed: as wished, and as settled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from starflow_v.cli.common.tasks import Task
    from starflow_v.flow.guidance import Guidance
    from starflow_v.flow.solver import Solver
    from starflow_v.pipelines.generation import GeneratingPipeline

T = TypeVar("T")

SPANS = {"sliding": 128, "jacobi": 64}
"""Solver of many tokens at a time -> how many, unless told otherwise."""
TOLERANCE = 1e-3
EULER = "euler"
"""The solver of a flow-matching model, which has no other."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user said; None leaves it to the model or the machine."""

    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None
    aspect_ratio: str | None = None
    num_frames: int | None = None
    frame_rate: int | None = None
    guidance_scale: float | None = None
    solver: str | None = None
    steps: int | None = None
    block_size: int | None = None
    tolerance: float | None = None
    device: str | None = None
    dtype: str | None = None
    kv_dtype: str | None = None
    fidelity: float | None = None
    candidates: int | None = None
    source_prompt: str | None = None
    strength: float | None = None
    threads: int | None = None
    attention_temperature: float | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.aspect_ratio is not None and (self.height, self.width) != (None, None):
            raise ValueError("both --aspect-ratio and a size are given; expected one of them")
        for option, value in (("--block-size", self.block_size), ("--tolerance", self.tolerance)):
            if value is not None and self.solver not in SPANS:
                raise ValueError(
                    f"{option} {value} is an option of --solver jacobi and --solver sliding; add "
                    "one of these"
                )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The wishes, settled: nothing is left to defaults that may change."""

    negative_prompt: str | None
    height: int
    """Pixels."""
    width: int
    num_frames: int
    """Pixel frames, 1 + 4k; where a clip goes on those after it, 4k; where it is edited its own."""
    frame_rate: int
    """Frames per second, of the file and in the caption."""
    guidance_scale: float
    """w of density guidance; 0 is conditional sampling."""
    solver: str
    """sequential, sliding or jacobi; euler for a flow-matching model."""
    block_size: int | None
    """Tokens that sliding and jacobi solve together."""
    tolerance: float | None
    """The change under which they stop."""
    device: str
    dtype: str
    threads: int
    """CPU threads."""
    steps: int | None = None
    """Euler steps a frame of a flow-matching model."""
    kv_dtype: str | None = None
    """How keys and values are kept; None: as computed."""
    fidelity: float | None = None
    """How much of its noise an edit by an instruction has from its clip; None: there is none."""
    candidates: int | None = None
    """How often each latent frame is drawn through a mask; None: there is none."""
    source_prompt: str | None = None
    """What an edit by an instruction is told that its clip shows; None: what the model finds."""
    strength: float | None = None
    """How much of a clip's noise is forgotten; None: there is no clip, or an instruction."""
    attention_temperature: float | None = None
    """Of the branch that guidance leads away from; None: as trained."""
    temperature: float = 1.0
    """What the noise is multiplied by."""

    def as_wishes(self) -> Wishes:
        """The same, to be made again."""
        return Wishes(**asdict(self))


def settle(wishes: Wishes, pipe: GeneratingPipeline, task: Task) -> Settings:
    """The wishes, with the defaults of the task, of the model in `pipe` and of this machine."""
    import torch

    height, width = _size(wishes, pipe, task)
    defaults = pipe.defaults
    frame_rate = _or(wishes.frame_rate, defaults.frame_rate)
    solver, steps = _solver(wishes, pipe, height, width)
    parallel = solver in SPANS
    instructed = task.edits and wishes.strength is None
    guidance, fidelity = defaults.guidance_scale, None
    if instructed:
        guidance, faithful = defaults.of_edits(masked=task.masked)
        fidelity = _or(wishes.fidelity, faithful)
    return Settings(
        negative_prompt=wishes.negative_prompt,
        height=height,
        width=width,
        num_frames=task.num_frames(pipe, wishes.num_frames, frame_rate),
        frame_rate=frame_rate,
        guidance_scale=_or(wishes.guidance_scale, guidance),
        solver=solver,
        steps=steps,
        block_size=_or(wishes.block_size, SPANS[solver]) if parallel else None,
        tolerance=_or(wishes.tolerance, TOLERANCE) if parallel else None,
        device=str(pipe.device),
        dtype=str(pipe.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        kv_dtype=wishes.kv_dtype,
        fidelity=fidelity,
        candidates=candidates_of(wishes, task),
        source_prompt=wishes.source_prompt,
        strength=wishes.strength,
        attention_temperature=wishes.attention_temperature,
        temperature=_or(wishes.temperature, 1.0),
    )


def candidates_of(wishes: Wishes, task: Task) -> int | None:
    """How often each latent frame is drawn; None: there is no mask to judge it by."""
    from starflow_v.pipelines.filling import CANDIDATES

    return _or(wishes.candidates, CANDIDATES) if task.masked else None


def make_guidance(settings: Settings) -> Guidance | None:
    """The rule that the settings name; None for the pipeline's own of `guidance_scale`."""
    from starflow_v.flow.guidance import DensityGuidance

    if settings.attention_temperature is None:
        return None
    return DensityGuidance(settings.guidance_scale, settings.attention_temperature)


def make_solver(settings: Settings) -> Solver | None:
    """The solver that the settings name; None for Euler's steps, which are told by their number."""
    from starflow_v.flow.solver import JacobiSolver, SequentialSolver, SlidingSolver

    if settings.solver == EULER:
        return None
    if settings.solver == "sequential":
        return SequentialSolver()
    if settings.solver in SPANS and settings.block_size and settings.tolerance is not None:
        if settings.solver == "sliding":
            return SlidingSolver(settings.block_size, settings.tolerance)
        return JacobiSolver(block_size=settings.block_size, tolerance=settings.tolerance)
    raise ValueError(
        f"solver is {settings.solver!r}; expected sequential, or sliding or jacobi with block_size "
        "and tolerance"
    )


def _solver(
    wishes: Wishes, pipe: GeneratingPipeline, height: int, width: int
) -> tuple[str, int | None]:
    """The solver and its steps: of a flow or, if it has steps of its own, of flow matching."""
    own = pipe.config.get("num_inference_steps")
    if own is None:
        if wishes.steps is not None:
            raise ValueError(
                f"--steps {wishes.steps} is for flow-matching models; this one is a flow, which "
                "has no steps: --solver says how it is inverted"
            )
        return wishes.solver or usual_solver(pipe, height, width), None
    if wishes.solver not in (None, EULER):
        raise ValueError(
            f"--solver {wishes.solver} inverts a flow; this model was trained by flow matching: "
            "--steps says how often it is evaluated"
        )
    return EULER, _or(wishes.steps, own)


def usual_solver(pipe: GeneratingPipeline, height: int, width: int) -> str:
    """The name of the solver that the pipeline would choose."""
    from starflow_v.flow.solver import SlidingSolver

    return "sliding" if isinstance(pipe.solver_for(height, width), SlidingSolver) else "sequential"


def _size(wishes: Wishes, pipe: GeneratingPipeline, task: Task) -> tuple[int, int]:
    """(height, width) in pixels."""
    defaults = pipe.defaults
    if wishes.aspect_ratio is not None:
        return pipe.size_for(wishes.aspect_ratio)
    if wishes.height is None and wishes.width is None:
        return task.size(pipe)
    return _or(wishes.height, defaults.height), _or(wishes.width, defaults.width)


def _or(wish: T | None, default: T) -> T:
    return default if wish is None else wish
