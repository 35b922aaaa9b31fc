"""Draw the pictures of the README: what the embedded model makes of captions it was never shown.

    python docs/gallery.py

The captions are the first of a seeded stream, good or bad, and the seeds are 0, 1, 2, ...
"""

from pathlib import Path

import torch
from einops import rearrange
from PIL import Image

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter
from starflow_v.training.flow_report import held_out_captions

IMAGES = Path(__file__).parent / "images"
ROWS, COLUMNS = 2, 4


def main() -> None:
    """Make one clip of each caption; draw them as a sheet and as an animation."""
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    captions = held_out_captions(ROWS * COLUMNS, seed=100)
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(captions))]
    clips = from_unit(pipe(captions, generator=generators).frames)
    sheet = contact_sheet(list(clips), labels=captions, scale=2)
    IMAGES.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(IMAGES / "gallery.png", optimize=True)
    wall = rearrange(clips, "(r c) f h w rgb -> f (r h) (c w) rgb", r=ROWS)
    large = wall.repeat(2, axis=1).repeat(2, axis=2)
    with VideoWriter(IMAGES / "gallery.webp", pipe.defaults.frame_rate, overwrite=True) as file:
        file.write(large)


if __name__ == "__main__":
    main()
