import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from starflow_v.cli.common import memory
from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.settings import Wishes
from starflow_v.cli.main import app

CONFIG = Path(__file__).parents[2] / "configs" / "starflow_v_7b_480p.yaml"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_configuration_is_planned_without_weights() -> None:
    """One latent frame, so that it is quick; parameters are those of the released 7B model."""
    small = ["--frames", 1, "--height", 64, "--width", 64]
    result = command("plan", CONFIG, *small, "--device", "a100", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert facts["parameters"]["flow"] + facts["parameters"]["denoiser"] == 6_890_096_528
    assert facts["memory"]["weights"] == 2 * sum(
        facts["parameters"][name] for name in ("text_encoder", "flow", "denoiser", "vae")
    )
    assert facts["schemes"]["sequential"]["evaluations"]["deep"] == 16 + 1


def test_a_folder_is_planned_with_numbers_of_ones_own(pipeline: Path) -> None:
    own = ["--passes", 3, "--span", 2, "--guidance", 0, "--kv-dtype", "int8"]
    result = command("plan", pipeline, *own, "--dtype", "float32")
    assert result.exit_code == 0, result.output
    assert "9 frames of 48x32, guidance 0, 1 at a time, in float32 on h100" in result.output
    assert "cache int8" in result.output
    assert "fits into 80.0 GB" in result.output
    assert "yours: as given" in result.output


def test_a_table_holds_every_way(pipeline: Path) -> None:
    result = command("plan", pipeline, "--table")
    lines = result.output.strip().splitlines()
    assert result.exit_code == 0 and len(lines) == 2 + 11
    assert all(line.count("|") == lines[0].count("|") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "no model at absent"),
        ([CONFIG, "--device", "abacus"], "expected cpu, h200"),
        ([CONFIG, "--height", 100], "multiples of 16"),
        ([CONFIG, "--evaluations", "absent.json"], "absent.json"),
        ([CONFIG, "--span", 64], "--passes counts: give both"),
        ([CONFIG, "--table", "--kv-dtype", "int8", "--json"], "leave out --kv-dtype, --json"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments: list[object], message: str) -> None:
    result = command("plan", *arguments)
    assert result.exit_code == 2 and message in result.output


def test_a_large_model_is_estimated_before_it_is_loaded(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE", 0)
    made = command("generate", "red", "--model", pipeline, "-o", tmp_path / "a")
    assert made.exit_code == 0 and "estimate: 0.0 GB of memory (weights" in made.output


def test_what_cannot_fit_is_refused_with_what_would(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LARGE", 0)
    cpu = torch.device("cpu")
    need = memory.memory_need(read_model_folder(pipeline), Wishes(), cpu, batch=1)
    monkeypatch.setattr("starflow_v.planner.free_memory", lambda _: 0.9 * need.device)
    options = ["generate", "red", "--model", pipeline, "-o", tmp_path / "a"]
    refused = command(*options)
    assert refused.exit_code == 2, refused.output
    assert "--dtype bfloat16" in refused.output and "--force" in refused.output
    assert not any(tmp_path.iterdir())
    assert command(*options, "--force").exit_code == 0


def test_keys_in_eight_bits_reach_the_record(pipeline: Path, tmp_path: Path) -> None:
    made = command(
        "generate", "red", "--model", pipeline, "-o", tmp_path / "a", "--kv-dtype", "int8"
    )
    assert made.exit_code == 0, made.output
    record = tmp_path / "a.json"
    assert json.loads(record.read_text("utf-8"))["kv_dtype"] == "int8"
    assert command("generate", "--from", record, "-o", tmp_path / "b").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
