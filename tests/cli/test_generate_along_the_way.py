"""Prompts that change along the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from starflow_v import StarFlowVPipeline
from tests.cli.commands import files_in, frames_of, generate


def test_prompts_along_the_way_reach_the_pipeline_and_the_record(
    pipeline: Path, tmp_path: Path
) -> None:
    video, again = tmp_path / "out", tmp_path / "again"
    prompts = {0: "a red circle", 5: "a blue circle", 13: "a big circle: red"}
    then = ["--then", "13: a big circle: red", "--then", " 5 :a blue circle "]
    more = ["-o", video, "--model", pipeline, "--seed", 7, "--frames", 17]
    result = generate(prompts[0], *then, *more)
    assert result.exit_code == 0, result.output
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    changes = [{"frame": frame, "prompt": prompts[frame]} for frame in (5, 13)]
    assert record["prompt"] == prompts[0]
    assert record["then"] == record["batch"][0]["then"] == changes
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    generator = torch.Generator().manual_seed(7)
    frames = np.concatenate(list(pipe.stream(prompts, num_frames=17, generator=generator)), axis=1)
    assert np.array_equal(frames_of(video), (frames[0].clip(0, 1) * 255).round().astype("uint8"))
    assert generate("--from", video.with_suffix(".json"), "-o", again).exit_code == 0
    assert np.array_equal(frames_of(again), frames_of(video))


def test_prompts_along_the_way_go_for_all_of_a_file(pipeline: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a red circle\na blue circle\n", "utf-8")
    then = ["--then", "5: a big circle"]
    result = generate("--prompts", prompts, *then, "-o", out, "--model", pipeline)
    assert result.exit_code == 0, result.output
    for path in out.glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["then"] == [
            {"frame": 5, "prompt": "a big circle"}
        ]


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (["a blue circle"], "names no frame; expected FRAME: PROMPT"),
        (["0: a blue circle"], "names no frame"),
        (["-5: a blue circle"], "names no frame"),
        (["5:  "], "the prompt is empty"),
        (["5: blue", "5: red"], "two prompts were given for frame 5"),
        (["9: a blue circle"], "frame 9 of a video with 9 frames"),
    ],
)
def test_a_prompt_that_is_never_told_is_refused(
    pipeline: Path, tmp_path: Path, then: list[str], message: str
) -> None:
    options = [argument for told in then for argument in ("--then", told)]
    result = generate("red", *options, "-o", tmp_path / "out.mp4", "--model", pipeline)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert files_in(tmp_path) == []
