"""`starflow-v info`: what a model is, from its JSON and the headers of its weights alone."""

import json
from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common.description import as_text, describe_model
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.loading import embedded_model
from starflow_v.cli.common.model_folder import read_model_folder

Model = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a model; default: the model in the package.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@reports_failures
def info(model: Model = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Tell what a model is: its parts, tokens, defaults and the conditions that it knows."""
    facts = describe_model(read_model_folder(model or embedded_model()))
    typer.echo(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else as_text(facts))
