import errno
import warnings

import pytest
import typer
from typer.testing import CliRunner

from starflow_v.cli.failures import CommandError, Debug, reports_failures


def run(error: BaseException, *arguments: str) -> tuple[int, str]:
    app = typer.Typer()

    @app.command()
    @reports_failures
    def fail(debug: Debug = False) -> None:
        raise error

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("size is 3;\n   expected 4"), 2, "error: size is 3; expected 4\n"),
        (CommandError("the model lacks a part"), 1, "error: the model lacks a part\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.mp4"),
            1,
            "error: No space left on device: out.mp4\n",
        ),
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


def test_debug_shows_the_traceback_and_keeps_the_code() -> None:
    code, output = run(ValueError("size is 3"), "--debug")
    assert code == 2
    assert "Traceback" in output and "raise error" in output and "error: size is 3" in output
    assert "Traceback" not in run(ValueError("size is 3"))[1]


def test_warnings_are_single_lines_without_code() -> None:
    app = typer.Typer()

    @app.command()
    @reports_failures
    def warn() -> None:
        warnings.warn("one\n  two", stacklevel=1)

    assert CliRunner().invoke(app, []).output == "warning: one two\n"
