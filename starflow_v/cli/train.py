"""`starflow-v train`: trains a flow and its denoiser from a configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.failures import Debug, reports_failures

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, as in configs/.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Changes to it, such as optimizer.lr=1e-4."),
]


@reports_failures
def train(config: Config, overrides: Overrides = None, debug: Debug = False) -> None:
    """Train a flow and its denoiser; start again to resume.

    On several processes: accelerate launch -m starflow_v.cli.main train CONFIG
    """
    changes = check_arguments(config, overrides)
    from starflow_v.training.flow import train_flow

    typer.echo(f"the pipeline is in {train_flow(config, changes)}")


def check_arguments(config: Path, overrides: list[str] | None) -> list[str]:
    """The overrides, once the file exists and each override reads key=value."""
    if not config.is_file():
        raise ValueError(f"the configuration {config} is not a file; expected a YAML file")
    for override in overrides or []:
        key, equals, _ = override.partition("=")
        if not key or not equals:
            raise ValueError(f"{override!r} is no change; expected KEY=VALUE, such as steps=1000")
    return list(overrides or [])
