"""The shipped curriculum runs as a chain, each stage from the one before."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from starflow_v import StarFlowVPipeline
from starflow_v.cli.main import app
from starflow_v.config import load_config
from starflow_v.training.flow_settings import FlowSettings
from tests.pipelines.conftest import tiny_vae

CURRICULUM = Path(__file__).parents[2] / "configs/curriculum"
STAGES = ["1_stills", "2_video", "3_grown"]
TINY = [
    "vae=vae",
    "batch_size=4",
    "samples=1",
    "data.num_frames=5",
    "data.height=32",
    "data.width=32",
    "data.clips={video: 256, image: 256}",
    "flow.shallow_width=64",
    "flow.deep_width=64",
    "flow.deep_layers=1",
    "denoiser.width=64",
    "denoiser.layers=1",
    "text.width=16",
    "text.layers=1",
    "trainer.steps=2",
]


def test_each_stage_begins_where_the_one_before_ends_and_the_deep_block_grows():
    stages = [load_config(FlowSettings, CURRICULUM / f"{name}.yaml") for name in STAGES]
    assert stages[0].initialize is None
    for before, after in pairwise(stages):
        assert after.initialize == f"{before.trainer.folder}/pipeline"
    assert list(stages[0].data.wanted) == ["image"] and "video" in stages[1].data.wanted
    assert stages[1].flow == stages[0].flow
    assert stages[2].flow.deep_width > stages[1].flow.deep_width
    assert stages[2].flow.deep_layers > stages[1].flow.deep_layers


def test_the_chain_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    tiny_vae().save_pretrained("vae")
    Path("vae/statistics.json").write_text('{"temporal_scale": 0.8}')
    for name in STAGES:
        changes = [*TINY]
        if name == "3_grown":
            changes += ["flow.deep_width=128", "flow.deep_layers=2"]
        result = CliRunner().invoke(app, ["train", str(CURRICULUM / f"{name}.yaml"), *changes])
        assert result.exit_code == 0, result.output
    flow = StarFlowVPipeline.from_pretrained("runs/curriculum/3_grown/pipeline").flow
    assert flow.config.deep_width == 128 and len(flow.deep.block.transformer.layers) == 2
