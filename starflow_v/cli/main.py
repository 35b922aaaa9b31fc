"""The entry point of `starflow-v`: one line a command."""

from importlib import metadata
from typing import Annotated

import typer

from starflow_v.cli.generate import generate
from starflow_v.cli.info import info
from starflow_v.cli.train import train
from starflow_v.cli.train_vae import train_vae

# Drawing help with rich would take longer than all the rest of it.
app = typer.Typer(
    name="starflow-v",
    help="Video from normalizing flows.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Prints the version and ends, if `wanted`."""
    if wanted:
        typer.echo(f"starflow-v {metadata.version('starflow_v')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
) -> None:
    """Video from normalizing flows."""


app.command()(generate)
app.command()(info)
app.command()(train)
app.command("train-vae")(train_vae)


def main() -> None:
    """Runs the command line; see `starflow_v.cli.failures` for its exit codes."""
    app(prog_name="starflow-v")


if __name__ == "__main__":
    main()
