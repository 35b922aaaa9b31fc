"""`starflow-v export` through its entry point."""

from pathlib import Path

from typer.testing import CliRunner

from starflow_v.cli.main import app


def test_what_is_no_checkpoint_is_a_usage_error(tmp_path: Path) -> None:
    for wrong in (tmp_path / "nothing", tmp_path):
        result = CliRunner().invoke(app, ["export", str(wrong), str(tmp_path / "out")])
        assert result.exit_code == 2
        assert str(wrong) in result.output
        assert not (tmp_path / "out").exists()
