"""`starflow-v export`: a checkpoint of a training run as a folder for `from_pretrained`."""

from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.failures import Debug, reports_failures

Checkpoint = Annotated[
    Path, typer.Argument(help="A checkpoint, such as runs/NAME/checkpoints/step-00001000.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to: a new folder.")]


@reports_failures
def export(checkpoint: Checkpoint, folder: Folder, debug: Debug = False) -> None:
    """Write a checkpoint's averaged weights as a pipeline (or, from train-vae, as a VAE)."""
    if not checkpoint.is_dir():
        raise ValueError(f"the checkpoint {checkpoint} is not a folder")
    from starflow_v.training.export import export_checkpoint

    typer.echo(f"written: {export_checkpoint(checkpoint, folder)}")
