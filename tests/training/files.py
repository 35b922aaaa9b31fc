"""A folder of real mp4 files with captions, and the configuration of a tiny run on it."""

import json
from pathlib import Path

from PIL import Image

from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights
from starflow_v.data.video_io import VideoWriter
from tests.training.runs import write_run

VIDEOS = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)

TINY = """
vae: {folder}/vae
noise_std: 0.3
batch_size: 2
samples: 1
conditions: [fps, aspect_ratio]
data:
  folder: {folder}/files
  cache: {folder}/latents
  num_frames: 5
  height: 16
  width: 16
  workers: 0
  tasks: {{video: 0.5, image: 0.5}}
flow: {{shallow_width: 24, deep_width: 24, shallow_layers: [1], deep_layers: 1, head_dim: 24}}
denoiser: {{width: 24, layers: 2, head_dim: 24, window: 2}}
text: {{width: 16, layers: 1, heads: 2, length: 48}}
trainer:
  folder: {folder}/run
  steps: 4
  warmup: 2
  log_every: 1
  save_every: 2
  evaluate_every: 4
  precision: float32
"""


def write_clip(path: Path, index: int, *, height: int, width: int, frames: int = 12) -> str:
    """A scene at 10 frames per second; returns its caption."""
    settings = StreamSettings(num_frames=frames, height=height, width=width, fps=10, tasks=VIDEOS)
    sample = SceneStream(0, settings).sample(index)
    with VideoWriter(path, fps=10) as writer:
        writer.write(sample.frames)
    return sample.caption


def write_metadata(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def make_folder(folder: Path, *, videos: int = 4) -> list[dict[str, object]]:
    """Square and wide clips, two photographs' worth of stills and a pair; returns its rows."""
    folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for index in range(videos):
        size = {"height": 32, "width": 32} if index % 2 else {"height": 36, "width": 64}
        caption = write_clip(folder / f"{index}.mp4", index, **size)
        rows.append({"file_name": f"{index}.mp4", "text": caption})
    for index in range(2):
        Image.new("RGB", (40, 40), (200, 30 * index, 0)).save(folder / f"{index}.png")
        rows.append({"file_name": f"{index}.png", "text": ["a red square", "something red"]})
    rows.append({"target": "0.mp4", "source": "2.mp4", "text": "make it another one"})
    write_metadata(folder, rows)
    return rows


def make_run(root: Path) -> Path:
    """A folder of files, a VAE and a configuration; returns the configuration's path."""
    make_folder(root / "files")
    return write_run(root, TINY)
