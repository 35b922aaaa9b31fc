import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from starflow_v.cli.main import app
from starflow_v.config import load_config
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.vae.settings import CodecSettings

COMMANDS = {
    "train": ("starflow_v.training.recipes", "train_model"),
    "train-vae": ("starflow_v.training.vae.codec", "train_codec"),
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("steps: 3\n")
    return path


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list]:
    """Each training command, and the calls that it makes."""
    calls: list[tuple[Path, list[str]]] = []
    module, function = COMMANDS[request.param]
    fake = ModuleType(module)

    def train(path: Path, overrides: list[str]) -> Path:
        calls.append((path, overrides))
        return Path("runs/export")

    setattr(fake, function, train)
    monkeypatch.setitem(sys.modules, module, fake)
    return request.param, calls


def test_training_is_given_the_file_and_the_changes(
    command: tuple[str, list], config: Path
) -> None:
    name, calls = command
    for changes in ([], ["trainer.steps=7", "lr=1e-4", "trainer.folder=a=b"]):
        result = CliRunner().invoke(app, [name, str(config), *changes])
        assert result.exit_code == 0, result.output
        assert calls.pop() == (config, changes)
        assert result.output.endswith("is in runs/export\n")


@pytest.mark.parametrize("change", ["steps", "=7", "--steps=7"])
def test_a_change_without_a_key_is_refused(
    command: tuple[str, list], config: Path, change: str
) -> None:
    name, calls = command
    result = CliRunner().invoke(app, [name, str(config), change])
    assert result.exit_code == 2 and not calls
    assert change.split("=")[0] in result.output


def test_a_missing_configuration_is_refused(command: tuple[str, list], tmp_path: Path) -> None:
    name, calls = command
    result = CliRunner().invoke(app, [name, str(tmp_path / "none.yaml")])
    assert result.exit_code == 2 and not calls
    assert "none.yaml is not a file" in result.output


def test_a_training_that_was_stopped_says_how_to_go_on(
    command: tuple[str, list], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = command
    module, function = COMMANDS[name]
    monkeypatch.setattr(sys.modules[module], function, lambda *_: None)
    result = CliRunner().invoke(app, [name, str(config)])
    assert (result.exit_code, result.output) == (0, "stopped; start again to resume\n")


@pytest.mark.parametrize(
    ("schema", "example"), [(FlowSettings, "embedded"), (CodecSettings, "embedded_vae")]
)
def test_the_changes_that_the_help_suggests_exist(schema: type, example: str) -> None:
    help_text = CliRunner().invoke(app, ["train", "--help"]).output
    suggested = re.findall(r"[a-z.]+=[\w-]+", help_text)
    assert suggested == ["lr=1e-3", "trainer.steps=1000"]
    configs = Path(__file__).parents[2] / "configs"
    settings = load_config(schema, configs / f"{example}.yaml", suggested)
    assert (settings.lr, settings.trainer.steps) == (1e-3, 1000)
