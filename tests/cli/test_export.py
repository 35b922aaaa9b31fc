"""`starflow-v export` through its entry point."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from starflow_v import StarFlowVPipeline
from starflow_v.checkpoints import export_released
from starflow_v.cli.main import app

GOLDEN = Path(__file__).parents[1] / "golden" / "video"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("kind", ["pipeline", "released"])
def test_what_is_no_checkpoint_is_a_usage_error(kind: str, tmp_path: Path) -> None:
    for wrong in (tmp_path / "nothing", tmp_path):
        result = invoke("export", wrong, tmp_path / "out", "--format", kind)
        assert result.exit_code == 2
        assert str(wrong) in result.output
        assert not (tmp_path / "out").exists()


def test_a_released_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    model, back = tmp_path / "model", tmp_path / "back.pth"
    invoke("convert", GOLDEN / "checkpoint.pth", "--config", GOLDEN / "meta.json", "-o", model)
    result = invoke("export", model, back, "--format", "released")
    assert result.exit_code == 0, result.output
    assert result.output == f"written: {back}\n"
    original = torch.load(GOLDEN / "checkpoint.pth", weights_only=True)
    exported = torch.load(back, weights_only=True)
    assert exported.keys() < original.keys()
    assert all(torch.equal(tensor, original[key]) for key, tensor in exported.items())
    result = invoke("convert", back, "--config", tmp_path / "back.yaml", "-o", tmp_path / "again")
    assert result.exit_code == 0, result.output
    for path in model.rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(model)).read_bytes() == path.read_bytes()


def test_a_folder_is_given_a_checkpoint(pipeline: Path, tmp_path: Path) -> None:
    result = invoke("export", pipeline, tmp_path / "out", "--format", "released")
    assert result.exit_code == 0, result.output
    assert "layers look ahead" in result.output
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["checkpoint.pth", "checkpoint.yaml"]
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    expected = export_released(pipe.flow, pipe.denoiser)
    exported = torch.load(tmp_path / "out" / "checkpoint.pth", weights_only=True)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in exported.items())
    again = invoke("export", pipeline, tmp_path / "out", "--format", "released")
    assert again.exit_code == 2 and "give a new name" in again.output


def test_a_pipeline_is_a_pipeline_already(pipeline: Path, tmp_path: Path) -> None:
    result = invoke("export", pipeline, tmp_path / "out")
    assert result.exit_code == 2 and "is a pipeline already" in result.output
