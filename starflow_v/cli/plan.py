"""`starflow-v plan`: what a run will take on a device, before anything is downloaded or started."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.memory import cache_method
from starflow_v.cli.common.options import CacheDtype, DtypeName
from starflow_v.cli.common.options import Frames as FramesOption
from starflow_v.cli.common.options import Guidance as GuidanceOption

if TYPE_CHECKING:
    import torch

    from starflow_v.planner import Device, Scheme

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Folder of a model, or a configuration such as configs/*.yaml."
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        help="h200, h100, a100, l40s, rtx4090, rtx3090, m3max, or cpu: this machine, measured.",
    ),
]
Height = Annotated[int | None, typer.Option(min=1, help="Pixels; default: the model's.")]
Width = Annotated[int | None, typer.Option(min=1, help="Pixels; default: the model's.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Videos made side by side.")]
Dtype = Annotated[DtypeName, typer.Option(help="Precision of the networks.")]
Evaluations = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Counts measured by starflow-v benchmark, as JSON."),
]
Passes = Annotated[
    float | None,
    typer.Option(min=1, help="Plan a solver that evaluates each token this often in each block."),
]
Span = Annotated[
    int | None, typer.Option(min=1, help="Tokens in one of its evaluations; default: 512.")
]
Table = Annotated[bool, typer.Option("--table", help="Print all ways to save memory, as Markdown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@reports_failures
def plan(
    model: Model,
    device: DeviceName = "h100",
    frames: FramesOption = None,
    height: Height = None,
    width: Width = None,
    batch: Batch = 1,
    guidance: GuidanceOption = None,
    dtype: Dtype = DtypeName.BFLOAT16,
    kv_dtype: CacheDtype = None,
    evaluations: Evaluations = None,
    passes: Passes = None,
    span: Span = None,
    table: Table = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Predict memory and time of making a video; nothing but the model's configuration is read."""
    if span is not None and passes is None:
        raise ValueError("--span tells of the solver that --passes counts: give both")
    if table:
        own = {"--kv-dtype": kv_dtype, "--evaluations": evaluations, "--passes": passes}
        _refuse_beside_table(own | {"--json": as_json or None})
    if not model.exists():
        raise ValueError(f"there is no model at {model}; expected a folder or a YAML file")
    import torch

    from starflow_v.planner import Blueprint, Job, Planner
    from starflow_v.planner.report import as_table, as_text, describe_plan

    precision: torch.dtype = getattr(torch, dtype.value)
    machine = _device(device, precision)
    blueprint = Blueprint.read(model).in_precision(precision)
    job = Job.of(
        blueprint, height=height, width=width, num_frames=frames, guidance=guidance, batch=batch
    )
    planner, schemes = Planner(blueprint, job), _schemes(evaluations, passes, span or 512)
    if table:
        unguided = Job.of(
            blueprint, height=height, width=width, num_frames=frames, guidance=0.0, batch=batch
        )
        text = as_table(planner, Planner(blueprint, unguided), schemes[1], machine, precision)
        typer.echo(text)
        return
    facts = describe_plan(planner, cache_method(kv_dtype), schemes, machine, precision)
    typer.echo(json.dumps(facts, indent=1) if as_json else as_text(facts))


def _refuse_beside_table(options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(
            "--table is Markdown of all ways to save memory, with the counts that come with the "
            f"planner; leave out {', '.join(given)}"
        )


def _device(name: str, dtype: "torch.dtype") -> "Device":
    from starflow_v.planner import DEVICES, measure_cpu

    if name == "cpu":
        return measure_cpu(dtype)
    if name not in DEVICES:
        raise ValueError(f"--device {name} is not known; expected cpu, {', '.join(DEVICES)}")
    return DEVICES[name]


def _schemes(evaluations: Path | None, passes: float | None, span: int) -> "list[Scheme]":
    """Those that come with the planner, then measured ones, then one's own."""
    from starflow_v.planner import SCHEMES, Scheme, read_evaluations
    from starflow_v.planner.schemes import Effort

    schemes = list(SCHEMES.values())
    if evaluations is not None:
        schemes += read_evaluations(evaluations)
    if passes is not None:
        own = Effort(passes=passes, span=span)
        schemes.append(Scheme(name="yours", deep=own, shallow=own, source="as given"))
    return schemes
