"""`starflow-v convert` through its entry point."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from typer.testing import CliRunner, Result

from starflow_v import DensityGuidance, StarFlowVPipeline
from starflow_v.cli.main import app

GOLDEN = Path(__file__).parents[1] / "golden" / "video"
CONFIG_7B = Path(__file__).parents[2] / "configs" / "starflow_v_7b_480p.yaml"


def convert(checkpoint: Path, output: Path, *options: str, config: Path | None = None) -> Result:
    arguments = [str(checkpoint), "--config", str(config or GOLDEN / "meta.json")]
    return CliRunner().invoke(app, ["convert", *arguments, "--output", str(output), *options])


def test_the_golden_checkpoint_makes_the_golden_samples(tmp_path: Path) -> None:
    result = convert(GOLDEN / "checkpoint.pth", tmp_path / "model")
    assert result.exit_code == 0, result.output
    assert f"written: {tmp_path / 'model'}\n" in result.output
    assert "no VAE (--vae) and no text encoder (--text-encoder)" in result.output
    pipe = StarFlowVPipeline.from_pretrained(tmp_path / "model")
    io = load_file(GOLDEN / "io.safetensors")
    x = pipe.flow.inverse(
        io["noise"],
        io["text"],
        null_text=io["text_null"],
        guidance=DensityGuidance(float(io["sample.guidance_weight"])),
    )
    assert_close(x, io["sample.guided"], atol=1e-4, rtol=1e-4)


def test_the_dtype_is_chosen(tmp_path: Path) -> None:
    convert(GOLDEN / "checkpoint.pth", tmp_path / "model", "--dtype", "bfloat16")
    path = tmp_path / "model" / "flow" / "diffusion_pytorch_model.safetensors"
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.bfloat16}


def test_a_model_without_its_parts_says_so(tmp_path: Path) -> None:
    convert(GOLDEN / "checkpoint.pth", tmp_path / "model")
    arguments = ["generate", "red", "--model", str(tmp_path / "model")]
    result = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "x.mp4")])
    assert result.exit_code == 2
    assert "has no VAE" in result.output and "--vae" in result.output


def test_the_wrong_configuration_is_shown_beside_the_file(tmp_path: Path) -> None:
    result = convert(GOLDEN / "checkpoint.pth", tmp_path / "model", config=CONFIG_7B)
    assert result.exit_code == 2
    lines = result.output.splitlines()
    assert lines[0] == "error: the checkpoint does not fit its configuration:"
    key = "blocks.0.attn_blocks.0.attention.norm.bias"
    assert f"  other shape of {key}: the file has (32,), the model (3072,)" in lines
    assert any(line.startswith("  missing key blocks.0.attn_blocks.1.") for line in lines)
    assert any(line.startswith("  surplus key blocks.3.proj_txt") for line in lines)
    assert lines[-1].startswith("  and ")
    assert not list(tmp_path.iterdir())


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "evil.pth")
    result = convert(tmp_path / "evil.pth", tmp_path / "model")
    assert result.exit_code == 2
    assert "refused" in result.output and "nothing of it was run" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.parametrize("size", [0, 100, 500_000])
def test_a_truncated_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes((GOLDEN / "checkpoint.pth").read_bytes()[:size])
    result = convert(path, tmp_path / "model")
    assert result.exit_code == 2
    assert ("is cut off" if size else "is no checkpoint") in result.output


def test_a_configuration_may_be_json(tmp_path: Path) -> None:
    arguments = json.loads((GOLDEN / "meta.json").read_text("utf-8"))["model"]
    (tmp_path / "arguments.json").write_text(json.dumps(arguments))
    result = convert(
        GOLDEN / "checkpoint.pth", tmp_path / "model", config=tmp_path / "arguments.json"
    )
    assert result.exit_code == 0, result.output
