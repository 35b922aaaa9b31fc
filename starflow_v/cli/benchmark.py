"""`starflow-v benchmark`: how fast a model is sampled; `benchmark compare`: what has changed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import CommandError, Debug, reports_failures

if TYPE_CHECKING:
    from starflow_v.benchmark.clip import Clip
    from starflow_v.pipelines.text_to_video import StarFlowVPipeline

PROMPT = "a red circle moves right on a blue background"
DEFAULT_SOLVERS = ["sequential", "paper", "ours"]

Model = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a model; default: the model in the package.",
        show_default=False,
    ),
]
Solvers = Annotated[
    list[str] | None,
    typer.Option(
        "--solver",
        metavar="NAME[:KEY=VALUE,...]",
        help="sequential, paper, ours, paper-tight or ours-tight (at equal error), with parameters "
        "such as paper:tolerance=1e-5; again for more. Default: sequential, paper and ours.",
    ),
]
Guidance = Annotated[
    list[float] | None,
    typer.Option(
        metavar="W",
        min=0,
        help="Weight of guidance; again for more. Default: 0 and the model's.",
    ),
]
Prompt = Annotated[str, typer.Option(help="What the video shows.")]
Frames = Annotated[
    int | None,
    typer.Option(min=1, help="Number of frames, 1 + 4k; default: the model's."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the noise.")]
Size = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Pixels, such as 64x64; default: the model's."),
]
Runs = Annotated[int, typer.Option(min=1, help="Runs that count; rows tell their medians.")]
WarmUps = Annotated[int, typer.Option(min=0, help="Runs before that do not count.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; default: as PyTorch has it.")
]
Reference = Annotated[
    bool, typer.Option(help="Compare with the sequential answer, which takes its time.")
]
Processor = Annotated[
    bool,
    typer.Option(
        "--processor",
        help="Count the processor's seconds in the stages, for a CPU that others use, too.",
    ),
]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the deep block with torch.compile, once for windows of all lengths; warm up, "
        "since that takes up to a minute.",
    ),
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write all numbers as JSON.")]
FailOver = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Such as 10%: end with exit code 1 if anything costs more than that (and than noise).",
    ),
]
Before = Annotated[Path, typer.Argument(metavar="BEFORE", help="A file of starflow-v benchmark.")]
After = Annotated[Path, typer.Argument(metavar="AFTER", help="Another one.")]


class _MeasuresByDefault(TyperGroup):
    """What is no command's name is an argument of `measure`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


benchmark = typer.Typer(
    cls=_MeasuresByDefault,
    help="Measure how fast and how exactly solvers sample a model; compare two such reports.",
    context_settings={"default_map": {"help": False}},
    rich_markup_mode=None,
)


@benchmark.command()
@reports_failures
def measure(
    model: Model = None,
    prompt: Prompt = PROMPT,
    solver: Solvers = None,
    guidance: Guidance = None,
    frames: Frames = None,
    size: Size = None,
    seed: Seed = 0,
    runs: Runs = 5,
    warm_ups: WarmUps = 2,
    reference: Reference = True,
    processor: Processor = False,
    compiled: Compiled = False,
    threads: Threads = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    output: Output = None,
    overwrite: opt.Overwrite = False,
    debug: Debug = False,
) -> None:
    """Time each solver at each guidance weight, stage by stage, and check what it found.

    `measure` need not be said: starflow-v benchmark MODEL. docs/sampling.md explains the figures.
    """
    if output is not None and (output.is_dir() or (output.exists() and not overwrite)):
        raise ValueError(f"-o {output} exists already; choose another, or --overwrite it")
    if output is not None and not output.parent.is_dir():
        raise ValueError(f"-o {output}: there is no folder {output.parent}; make it first")
    shape = None if size is None else _shape(size)
    from starflow_v.benchmark.campaign import Campaign
    from starflow_v.benchmark.report import describe, environment, table
    from starflow_v.benchmark.solvers import solver_of

    solvers = dict(solver_of(it) for it in solver or DEFAULT_SOLVERS)
    pipe, folder = _load(model, device, dtype, threads)
    if compiled:
        pipe.flow.deep.block.compile(dynamic=True)
    campaign = Campaign(
        pipe=pipe,
        clip=_clip(pipe, prompt, frames, shape, seed),
        solvers=solvers,
        weights=list(dict.fromkeys(guidance or [0.0, pipe.defaults.guidance_scale])),
        warm_ups=warm_ups,
        runs=runs,
        reference=reference,
        clock=time.process_time if processor else time.perf_counter,
        tell=lambda message: typer.echo(message, err=True),
    )
    rows = campaign.rows()
    about = environment(
        folder,
        device=str(pipe.device),
        dtype=str(pipe.flow.dtype).removeprefix("torch."),
        seed=campaign.clip.seed,
    )
    report = describe(campaign, rows, about | {"compiled": compiled})
    typer.echo(table(report["results"]))
    if output is not None:
        output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


@benchmark.command()
@reports_failures
def compare(before: Before, after: After, fail_over: FailOver = None, debug: Debug = False) -> None:
    """Tell what differs between two reports, and which differences are noise."""
    limit = None if fail_over is None else _share(fail_over)
    from starflow_v.benchmark import comparison

    reports = [comparison.read_report(path) for path in (before, after)]
    compared = comparison.compare(*reports)
    for difference in comparison.differences(*reports):
        typer.echo(f"warning: {difference}", err=True)
    typer.echo(comparison.describe(compared))
    worse = [it for it in compared if limit is not None and it.worsening > limit]
    if worse:
        worst = max(worse, key=lambda it: it.worsening)
        raise CommandError(
            f"{len(worse)} figures cost over {fail_over} more than before, most of all "
            f"{worst.name} of {worst.solver} at guidance {worst.guidance:g}: "
            f"{worst.worsening:.0%} more"
        )


def _load(
    model: Path | None,
    device: str | None,
    dtype: opt.DtypeName | None,
    threads: int | None,
) -> tuple[StarFlowVPipeline, Path]:
    """A flow's pipeline and its folder."""
    from starflow_v import StarFlowVPipeline
    from starflow_v.cli.common.loading import embedded_model, load_pipeline
    from starflow_v.cli.common.model_folder import read_model_folder
    from starflow_v.cli.common.settings import Wishes

    folder = read_model_folder(model or embedded_model())
    if folder["flow"].kind != "StarFlowModel":
        raise ValueError(f"the model {folder.path} is no flow; expected one, for solvers to invert")
    wishes = Wishes(device=device, dtype=dtype and dtype.value, threads=threads)
    pipe = load_pipeline(folder, wishes, StarFlowVPipeline)
    assert isinstance(pipe, StarFlowVPipeline)
    return pipe, folder.path


def _clip(
    pipe: StarFlowVPipeline,
    prompt: str,
    frames: int | None,
    shape: tuple[int, int] | None,
    seed: int,
) -> Clip:
    from starflow_v.benchmark.clip import Clip

    width, height = shape or (pipe.defaults.width, pipe.defaults.height)
    multiple = pipe.size_multiple
    if height % multiple or width % multiple:
        raise ValueError(f"--size {width}x{height}: expected multiples of {multiple}")
    return Clip(
        prompt=prompt,
        height=height,
        width=width,
        num_frames=pipe.whole_frames(frames or pipe.defaults.num_frames),
        seed=seed,
    )


def _shape(size: str) -> tuple[int, int]:
    """Width and height of "64x48"."""
    sides = size.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"--size {size} is no size; expected WxH, such as 64x64")
    width, height = map(int, sides)
    return width, height


def _share(text: str) -> float:
    """0.1 of "10%"."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise ValueError(f"--fail-over {text} is no share; expected such as 10%")
    return share
