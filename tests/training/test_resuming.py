"""A checkpoint stands on its own: the weights that its run began with may be gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from starflow_v import StarFlowVPipeline
from starflow_v.config import load_config
from starflow_v.training.engine.settings import TrainerSettings
from starflow_v.training.export import export_checkpoint
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.lora import LoraSettings
from starflow_v.training.recipes import train_model
from starflow_v.training.resuming import resumed
from starflow_v.training.vae.settings import CodecSettings
from tests.training.files import make_run


def test_goes_on_and_is_exported_without_where_it_began(tmp_path: Path) -> None:
    """Nor does an export need the processes, or the compiler, of the training."""
    config, start = make_run(tmp_path), tmp_path / "start"
    FlowRecipe(load_config(FlowSettings, config)).export(start)
    begun = [f"initialize={start}", "trainer.evaluate_every=1000"]
    assert train_model(config, begun) is not None
    shutil.rmtree(start)
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000004"
    path = checkpoint / "state.json"
    state = json.loads(path.read_text())
    state["state"]["description"]["trainer"] |= {"shard": True, "compile": True}
    path.write_text(json.dumps(state))
    exported = StarFlowVPipeline.from_pretrained(export_checkpoint(checkpoint, tmp_path / "new"))
    trained = StarFlowVPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    for name, value in trained.flow.state_dict().items():
        assert torch.equal(exported.flow.state_dict()[name], value)
    assert train_model(config, [*begun, "trainer.steps=5"]) is not None


def test_what_no_checkpoint_holds_is_kept() -> None:
    trainer = TrainerSettings(folder="run", steps=1)
    flow = {"trainer": trainer, "vae": "vae", "initialize": "start"}
    codec = {"trainer": trainer, "initialize": "start"}
    assert resumed(FlowSettings(**flow)).initialize is None
    assert resumed(FlowSettings(**flow, lora=LoraSettings())).initialize == "start"
    assert resumed(FlowSettings(**flow, frozen=["denoiser"])).initialize == "start"
    assert resumed(CodecSettings(**codec)).initialize is None
    assert resumed(CodecSettings(**codec, freeze_encoder=True)).initialize == "start"
