"""`starflow-v studio`: the generator in the browser."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import CommandError, Debug, reports_failures

Host = Annotated[
    str, typer.Option(help="Address to be reached at; any but this computer's needs a password.")
]
Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Default: the first that is free from 7860 on."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A text file with the password that visitors have to give."),
]
Browser = Annotated[bool, typer.Option("--browser", help="Open a browser, too.")]


@reports_failures
def studio(
    host: Host = "127.0.0.1",
    port: Port = None,
    password_file: PasswordFile = None,
    browser: Browser = False,
    model: opt.Model = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    kv_dtype: opt.CacheDtype = None,
    debug: Debug = False,
) -> None:
    """Make, animate, extend, edit and score videos in the browser, frame by frame as they come.

    Only this computer reaches it, unless --host says otherwise. Ctrl-C ends it; its files go.
    """
    if importlib.util.find_spec("gradio") is None:
        raise CommandError("the studio needs gradio: pip install 'starflow_v[studio]'")
    from starflow_v.studio.server import Door, serve

    door = Door(host=host, port=port, password=_read_password(password_file))
    from starflow_v.cli.common.loading import embedded_model
    from starflow_v.cli.common.model_folder import read_model_folder
    from starflow_v.cli.common.settings import Wishes
    from starflow_v.studio.limits import Limits
    from starflow_v.studio.workshop import Workshop

    wishes = Wishes(
        device=device, dtype=dtype and dtype.value, kv_dtype=kv_dtype and kv_dtype.value
    )
    workshop = Workshop(read_model_folder(model or embedded_model()), wishes)
    typer.echo("opening the studio ...", err=True)
    serve(
        workshop,
        door,
        Limits(),
        inbrowser=browser,
        started=lambda url: typer.echo(f"the studio is at {url} (Ctrl-C ends it)"),
    )


def _read_password(path: Path | None) -> str | None:
    """The file's text without the line's end."""
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--password-file {path} cannot be read: {error}") from None
