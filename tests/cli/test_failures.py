import errno
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from starflow_v.cli.common.failures import CommandError, Debug, reports_failures
from starflow_v.cli.common.model_folder import read_model_folder


def run(error: BaseException, *arguments: str) -> tuple[int, str]:
    def fail() -> None:
        raise error

    return end_of(fail, *arguments)


def end_of(action: Callable[[], object], *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command that does `action`."""
    app = typer.Typer()

    @app.command()
    @reports_failures
    def command(debug: Debug = False) -> None:
        action()

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CommandError("the model lacks a part"), 1, "error: the model lacks a part\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.mp4"),
            1,
            "error: No space left on device: out.mp4\n",
        ),
        (ValueError("bad\n  shape"), 1, "error: ValueError: bad shape (--debug shows where)\n"),
        (RuntimeError("boom"), 1, "error: RuntimeError: boom (--debug shows where)\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("interrupted: 5 of 17"), 130, "interrupted: 5 of 17\n"),
        (typer.Exit(7), 7, ""),
    ],
)
def test_every_failure_has_its_code_and_one_paragraph(
    error: BaseException, code: int, message: str
) -> None:
    assert run(error) == (code, message)


def test_a_warning_is_told_once() -> None:
    """Though it comes from two places, or for each of two texts."""

    def warn() -> None:
        for category in (UserWarning, RuntimeWarning):
            warnings.warn("mind the gap", category, stacklevel=1)

    assert end_of(warn) == (0, "warning: mind the gap\n")


def test_only_a_value_error_of_ours_is_the_users() -> None:
    """Those of torch, say, were once reported as wrong usage, with no way to see where."""
    assert end_of(lambda: read_model_folder(Path("nowhere"))) == (
        2,
        "error: there is no model at nowhere; expected the folder of a pipeline\n",
    )
    code, output = end_of(lambda: torch.distributions.Normal(torch.zeros(1), -torch.ones(1)))
    assert code == 1 and output.startswith("error: ValueError: ") and "--debug" in output


def test_debug_shows_the_traceback_and_keeps_the_code() -> None:
    code, output = run(RuntimeError("size is 3"), "--debug")
    assert code == 1
    assert "Traceback" in output and "raise error" in output and "size is 3" in output
    assert "Traceback" not in run(RuntimeError("size is 3"))[1]


def test_warnings_are_single_lines_without_code() -> None:
    app = typer.Typer()

    @app.command()
    @reports_failures
    def warn() -> None:
        warnings.warn("one\n  two", stacklevel=1)

    assert CliRunner().invoke(app, []).output == "warning: one two\n"
