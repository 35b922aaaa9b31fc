"""The first thing that a newcomer does: a sentence, and no other argument."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.cli.main import app
from starflow_v.data.video_io import read_video

PROMPT = "a red circle moves right on a blue background"
LONGEST_WAIT = 30
"""Seconds, for one video on two idle cores."""

pytestmark = pytest.mark.skipif(
    not (embedded_model() / "model_index.json").is_file(),
    reason="the embedded model is not there yet",
)


def test_it_is_described_as_it_is_loaded() -> None:
    result = CliRunner().invoke(app, ["info", "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    for name in ("flow", "denoiser", "vae", "text_encoder"):
        part = getattr(pipe, name)
        expected = 0 if part is None else sum(p.numel() for p in part.parameters())
        assert facts["parts"].get(name, {"parameters": 0})["parameters"] == expected
    assert facts["tokens"]["pixels"] == pipe.size_multiple
    assert set(PROMPT.split()) <= set(facts["words"])


@pytest.mark.slow
def test_a_sentence_becomes_a_video_in_time(tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    run = subprocess.run(
        [sys.executable, "-m", "starflow_v.cli.main", "generate", PROMPT, "-o", str(video)],
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    size = (record["num_frames"], record["height"], record["width"], 3)
    assert read_video(video).frames.shape == size
    assert record["seconds"] < LONGEST_WAIT
