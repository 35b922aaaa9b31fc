"""What decides the pixels of a video beside its prompt and its seed: as wished, and as settled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from starflow_v.flow.solver import Solver
    from starflow_v.pipelines.text_to_video import StarFlowVPipeline

T = TypeVar("T")

JACOBI_BLOCK, JACOBI_TOLERANCE = 64, 1e-3


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
    block_size: int | None = None
    tolerance: float | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.aspect_ratio is not None and (self.height, self.width) != (None, None):
            raise ValueError("both --aspect-ratio and a size are given; expected one of them")
        for option, value in (("--block-size", self.block_size), ("--tolerance", self.tolerance)):
            if value is not None and self.solver != "jacobi":
                raise ValueError(f"{option} {value} is an option of --solver jacobi; add that")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The wishes, settled: nothing is left to defaults that may change."""

    negative_prompt: str | None
    height: int
    """Pixels."""
    width: int
    num_frames: int
    """Pixel frames, 1 + 4k."""
    frame_rate: int
    """Frames per second, of the file and in the caption."""
    guidance_scale: float
    """w of density guidance; 0 is conditional sampling."""
    solver: str
    """sequential or jacobi."""
    block_size: int | None
    """Tokens that jacobi solves together."""
    tolerance: float | None
    """The change under which jacobi stops."""
    device: str
    dtype: str
    threads: int
    """CPU threads."""

    def as_wishes(self) -> Wishes:
        """The same, to be made again."""
        return Wishes(**asdict(self))


def settle(wishes: Wishes, pipe: StarFlowVPipeline) -> Settings:
    """The wishes, with the defaults of the model that `pipe` holds and of this machine."""
    import torch

    height, width = _size(wishes, pipe)
    defaults = pipe.defaults
    jacobi = wishes.solver == "jacobi"
    return Settings(
        negative_prompt=wishes.negative_prompt,
        height=height,
        width=width,
        num_frames=pipe.whole_frames(_or(wishes.num_frames, defaults.num_frames)),
        frame_rate=_or(wishes.frame_rate, defaults.frame_rate),
        guidance_scale=_or(wishes.guidance_scale, defaults.guidance_scale),
        solver=wishes.solver or "sequential",
        block_size=_or(wishes.block_size, JACOBI_BLOCK) if jacobi else None,
        tolerance=_or(wishes.tolerance, JACOBI_TOLERANCE) if jacobi else None,
        device=str(pipe.device),
        dtype=str(pipe.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
    )


def make_solver(settings: Settings) -> Solver:
    """The solver that the settings name."""
    from starflow_v.flow.solver import JacobiSolver, SequentialSolver

    if settings.solver == "sequential":
        return SequentialSolver()
    if settings.solver == "jacobi" and settings.block_size and settings.tolerance is not None:
        return JacobiSolver(block_size=settings.block_size, tolerance=settings.tolerance)
    raise ValueError(
        f"solver is {settings.solver!r}; expected sequential, or jacobi with block_size and "
        "tolerance"
    )


def _size(wishes: Wishes, pipe: StarFlowVPipeline) -> tuple[int, int]:
    """(height, width) in pixels."""
    defaults = pipe.defaults
    if wishes.aspect_ratio is None:
        return _or(wishes.height, defaults.height), _or(wishes.width, defaults.width)
    return pipe.size_for(wishes.aspect_ratio)


def _or(wish: T | None, default: T) -> T:
    return default if wish is None else wish
