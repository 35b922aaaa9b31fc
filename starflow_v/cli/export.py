"""`starflow-v export`: a checkpoint of a training run, or a pipeline, in the layout of others."""

from __future__ import annotations

import tempfile
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common.failures import Debug, reports_failures


class Format(str, Enum):
    """What is written."""

    PIPELINE = "pipeline"
    RELEASED = "released"


Source = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A checkpoint, such as runs/NAME/checkpoints/step-00001000, or a pipeline's folder.",
    ),
]
Target = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Where to: a new folder; for released, a .pth will do."),
]
FormatName = Annotated[
    Format,
    typer.Option(
        "--format",
        help="pipeline: for from_pretrained. released: the layout of the released checkpoints, a "
        ".pth of flow and denoiser and a .yaml that describes them.",
    ),
]


@reports_failures
def export(
    model: Source, folder: Target, kind: FormatName = Format.PIPELINE, debug: Debug = False
) -> None:
    """Write a checkpoint's averaged weights as a pipeline (or, from train-vae, as a VAE).

    With --format released, a checkpoint or a pipeline as a .pth for other tools.
    """
    if not model.is_dir():
        raise ValueError(f"the checkpoint {model} is not a folder")
    is_pipeline = (model / "model_index.json").is_file()
    if kind is Format.PIPELINE:
        if is_pipeline:
            raise ValueError(f"{model} is a pipeline already; --format released writes a .pth")
        from starflow_v.training.export import export_checkpoint

        typer.echo(f"written: {export_checkpoint(model, folder)}")
        return
    typer.echo(f"written: {export_as_released(model, folder, is_pipeline=is_pipeline)}")


def export_as_released(model: Path, target: Path, *, is_pipeline: bool) -> Path:
    """Write the .pth; a training checkpoint becomes a pipeline first, in a temporary folder."""
    from starflow_v.checkpoints.export import export_folder, released_file
    from starflow_v.cli.common.model_folder import read_model_folder

    target = released_file(target)
    if is_pipeline:
        return export_folder(read_model_folder(model).path, target)
    from starflow_v.training.export import export_checkpoint

    with tempfile.TemporaryDirectory() as temporary:
        pipeline = export_checkpoint(model, Path(temporary) / "pipeline")
        if not (pipeline / "model_index.json").is_file():
            raise ValueError(f"{model} is a VAE's; expected the checkpoint of a flow")
        return export_folder(pipeline, target)
