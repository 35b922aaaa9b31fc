"""How a command ends: its exit code and the one paragraph that says why.

====  =======================================================================================
0     done
1     it failed: a broken model folder, a full disk, an error of the program
2     it cannot be done as asked: a wrong option, size, file or prompt (see `is_usage`)
130   interrupted by Ctrl-C (128 + SIGINT, as shells have it), or by SIGTERM
====  =======================================================================================
"""

import functools
import logging
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

FAILED, USAGE, INTERRUPTED = 1, 2, 130

FOR_PROGRAMMERS = ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao")
"""Loggers that complain of parts which no command needs, as soon as they are imported."""


class CommandError(Exception):
    """A failure that is no error of the program: its message is all there is to say."""


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")]


def reports_failures(command: Callable[P, R]) -> Callable[P, R]:
    """Ends `command` with an exit code and a message; its option `debug` shows the traceback."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with plain_warnings(), polite_end():
                return command(*args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt as error:
            typer.echo(str(error) or "interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if kwargs.get("debug"):
                traceback.print_exc()
            typer.echo(f"error: {describe(error)}", err=True)
            raise typer.Exit(USAGE if is_usage(error) else FAILED) from None

    return wrapper


def is_usage(error: Exception) -> bool:
    """Whether the user asked for what cannot be: a `ValueError` that this package itself raised.

    One from inside another library tells that we handed over what we should have refused: a failure
    of the program, not of the user.
    """
    if not isinstance(error, ValueError):
        return False
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return str(innermost.f_globals.get("__name__")).partition(".")[0] == "starflow_v"


def describe(error: Exception) -> str:
    """What happened, in one paragraph; what this package itself says of a wrong use, line by
    line."""
    if is_usage(error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, (OSError, CommandError)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error} (--debug shows where)"
    return " ".join(text.split())


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Prints each warning once, as one line without its code; those for programmers not at all."""
    shown: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        line = " ".join(str(message).split())
        if line not in shown:
            typer.echo(f"warning: {line}", err=True)
        shown.add(line)

    _hush_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = show
        yield


@contextmanager
def polite_end() -> Iterator[None]:
    """SIGTERM, a batch system's or a container's, ends a command as Ctrl-C does.

    Only the main thread hears of signals, so in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _hush_libraries() -> None:
    """No bar for files on this disk, no complaints for programmers; before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in FOR_PROGRAMMERS:
        logging.getLogger(name).setLevel(logging.ERROR)
