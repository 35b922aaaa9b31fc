"""`starflow-v train`: trains a flow and its denoiser from a configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common.failures import Debug, reports_failures

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, as in configs/.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Changes to it, such as lr=1e-3 or trainer.steps=1000."
    ),
]


@reports_failures
def train(config: Config, overrides: Overrides = None, debug: Debug = False) -> None:
    """Train a flow and its denoiser (or what `objective` says); start again to resume.

    On several processes: accelerate launch -m starflow_v.cli.main train CONFIG
    """
    changes = check_arguments(config, overrides)
    from starflow_v.training.recipes import train_model

    folder = train_model(config, changes)
    tell_end("adapter" if folder is not None and folder.name == "lora" else "pipeline", folder)


def check_arguments(config: Path, overrides: list[str] | None) -> list[str]:
    """The overrides, once the file exists and each override reads key=value."""
    if not config.is_file():
        raise ValueError(f"the configuration {config} is not a file; expected a YAML file")
    for override in overrides or []:
        key, equals, _ = override.partition("=")
        if not key or not equals:
            raise ValueError(f"{override!r} is no change; expected KEY=VALUE, such as lr=1e-3")
    return list(overrides or [])


def tell_end(what: str, folder: Path | None) -> None:
    """Where the outcome of a training is; None: it was stopped before its last step."""
    typer.echo("stopped; start again to resume" if folder is None else f"the {what} is in {folder}")
