from pathlib import Path

import pytest
from typer.testing import CliRunner

from starflow_v.cli.main import app

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_table_of_the_7b_model_is_what_the_command_prints() -> None:
    config = ROOT / "configs" / "starflow_v_7b_480p.yaml"
    result = CliRunner().invoke(app, ["plan", str(config), "--table"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() in (ROOT / "docs" / "memory.md").read_text("utf-8")
