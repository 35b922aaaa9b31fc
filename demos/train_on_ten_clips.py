"""Training: ten clips with captions in a folder, a small flow, twenty steps, and its video.

    python demos/train_on_ten_clips.py -o outputs/ten_clips

A minute is enough to see the loss fall, not for a video of anything. The same as commands, and what
to change for videos of your own: docs/train-on-your-folder.md.
"""

import json
from pathlib import Path

from scene import output, scene
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter
from starflow_v.training.recipes import train_model

CONFIG = Path(__file__).parents[1] / "configs" / "folder.yaml"
SMALL = ("flow.shallow_layers=[1,1]", "flow.deep_layers=2", "denoiser.layers=2", "batch_size=4")


def main() -> None:
    folder = output(__doc__, "ten_clips")
    captions = write_clips(folder / "clips")
    changes = [
        *SMALL,
        f"vae={embedded_model() / 'vae'}",
        f"data.folder={folder / 'clips'}",
        f"data.cache={folder / 'latents'}",
        "data.clips_per_file=1",
        "data.workers=0",
        "data.held_out=0",
        "data.aspect_ratios=[]",
        f"trainer.folder={folder / 'run'}",
        "trainer.steps=20",
        "trainer.warmup=5",
        "trainer.log_every=1",
    ]
    pipeline = train_model(CONFIG, changes)
    assert pipeline is not None, "the run was stopped"
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["nll"] for line in log if line["event"] == "step"]
    print(f"loss of the first step {losses[0]:.3f}, of the last {losses[-1]:.3f} nats an element")
    pipe = StarFlowVPipeline.from_pretrained(pipeline)
    made = pipe(captions[0], generator=Generator().manual_seed(0)).frames[0]
    with VideoWriter(folder / "made.mp4", pipe.defaults.frame_rate, overwrite=True) as file:
        file.write(from_unit(made))
    print(folder / "made.mp4")


def write_clips(folder: Path) -> list[str]:
    """Ten clips and metadata.jsonl, as a folder to be trained on has them; their captions."""
    rows = []
    for index in range(10):
        frames, caption = scene(index)
        with VideoWriter(folder / f"{index}.mp4", fps=8, overwrite=True) as file:
            file.write(frames)
        rows.append({"file_name": f"{index}.mp4", "text": caption})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return [row["text"] for row in rows]


if __name__ == "__main__":
    main()
