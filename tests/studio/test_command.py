import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starflow_v.cli.main import app


def run(*arguments: str):
    return CliRunner().invoke(app, ["studio", *arguments])


def test_others_are_let_in_by_a_password_only(tmp_path: Path) -> None:
    result = run("--host", "0.0.0.0")
    assert result.exit_code == 2 and "give a password" in result.output
    short = tmp_path / "password"
    short.write_text("short\n")
    result = run("--host", "0.0.0.0", "--password-file", str(short))
    assert result.exit_code == 2 and "expected at least 8" in result.output
    result = run("--password-file", str(tmp_path / "none"))
    assert result.exit_code == 2 and "cannot be read" in result.output


def test_without_gradio_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run()
    assert result.exit_code == 1
    assert "pip install 'starflow_v[studio]'" in result.output


def test_a_model_that_is_none_is_refused_before_the_door_opens(tmp_path: Path) -> None:
    result = run("--model", str(tmp_path))
    assert result.exit_code == 2 and "model_index.json" in result.output
