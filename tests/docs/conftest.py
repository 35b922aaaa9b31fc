"""A folder with all that the texts' programs and commands find where a reader has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights
from starflow_v.data.video_io import VideoWriter
from starflow_v.training.lora import LoraSettings, add_adapter, save_adapters
from tests.baselines.test_pipeline import matching_pipeline
from tests.docs.blocks import ROOT

PROMPTS = ("a red circle moves right on a blue background", "a blue star moves up")


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, pictures, masks and lists of prompts, under the names that the texts use."""
    folder = tmp_path_factory.mktemp("things")
    videos = StreamSettings(tasks=TaskWeights(video=1, image=0, extend=0, last=0, v2v=0))
    for index, name in enumerate(("clip", "other")):
        frames = SceneStream(0, videos).sample(index).frames
        with VideoWriter(folder / f"{name}.mp4", fps=videos.fps) as file:
            file.write(frames)
        if name == "clip":
            Image.fromarray(frames[0]).save(folder / "still.png")
            Image.fromarray(frames[-1]).save(folder / "end.png")
    hole = np.zeros((64, 64), np.uint8)
    hole[16:48, 16:48] = 255
    Image.fromarray(hole).save(folder / "hole.png")
    Image.fromarray(hole[12:20, 12:20]).save(folder / "mask.png")
    for name in ("prompts.txt", "captions.txt"):
        (folder / name).write_text("\n".join(PROMPTS))
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What trainings would have left, with random weights."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    matching_pipeline().save_pretrained(folder / "matching" / "pipeline")
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    for model in (pipe.flow, pipe.denoiser):
        add_adapter(model, LoraSettings(rank=2))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.01)
    save_adapters(folder / "adapter" / "lora", pipe.flow, pipe.denoiser)
    return folder


@pytest.fixture
def workplace(things: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: those things, and the repository's folders by links."""
    shutil.copytree(things, tmp_path, dirs_exist_ok=True)
    shutil.copytree(runs, tmp_path / "runs")
    for name in ("starflow_v", "configs", "benchmarks", "demos", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
