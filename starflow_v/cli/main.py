"""The entry point of `starflow-v`: one line a command."""

import sys

import typer

from starflow_v import __version__
from starflow_v.cli.animate import animate
from starflow_v.cli.benchmark import benchmark
from starflow_v.cli.cache import cache
from starflow_v.cli.convert import convert
from starflow_v.cli.decode import decode
from starflow_v.cli.edit import edit
from starflow_v.cli.export import export
from starflow_v.cli.extend import extend
from starflow_v.cli.generate import generate
from starflow_v.cli.info import info
from starflow_v.cli.plan import plan
from starflow_v.cli.rank import rank
from starflow_v.cli.sample import sample
from starflow_v.cli.score import score
from starflow_v.cli.studio import studio
from starflow_v.cli.train import train
from starflow_v.cli.train_vae import train_vae

# Help must be instant: no rich to draw it, and --help is False rather than unset where it is not
# given, because typer loads pydantic to convert what is unset.
app = typer.Typer(
    name="starflow-v",
    help="Video from normalizing flows.",
    epilog="starflow-v --version tells the version.",
    no_args_is_help=True,
    context_settings={"default_map": {"help": False}},
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(animate)
app.command()(extend)
app.command()(edit)
app.command()(decode)
app.command()(score)
app.command()(rank)
app.command()(studio)
app.command()(sample)
app.command()(info)
app.command()(plan)
app.add_typer(benchmark, name="benchmark")
app.command()(cache)
app.command()(train)
app.command("train-vae")(train_vae)
app.command()(export)
app.command()(convert)


def main() -> None:
    """Runs the command line; see `starflow_v.cli.common.failures` for its exit codes."""
    if sys.argv[1:] == ["--version"]:
        typer.echo(f"starflow-v {__version__}")
    else:
        app(prog_name="starflow-v")


if __name__ == "__main__":
    main()
