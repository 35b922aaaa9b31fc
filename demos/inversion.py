"""Exact inversion: a clip becomes noise and comes back; between two clips there is a way.

python demos/inversion.py -o outputs/between.webp
"""

import numpy as np
import torch
from scene import output, scene
from torch import Generator

from starflow_v import StarFlowVPipeline, interpolate
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit, to_frames
from starflow_v.data.video_io import VideoWriter

PROMPT = "a shape moves"


def main() -> None:
    path = output(__doc__, "between.webp")
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    (first, _), (second, _) = scene(0), scene(1)
    a = pipe.encode(first, PROMPT, generator=Generator().manual_seed(0))
    b = pipe.encode(second, PROMPT, generator=Generator().manual_seed(1))
    print(f"the noise of the first clip: mean {a.noise.mean():.3f}, deviation {a.noise.std():.3f}")

    with torch.no_grad():
        clean = pipe.codec.encode(to_frames([first])).transpose(1, 2)
    back = pipe.decode(a, output_type="latent").frames
    print(f"to noise and back, the largest error of a latent: {(back - clean).abs().max():.1e}")

    shown = []
    for step in interpolate(a, b, steps=4):
        shown.append(from_unit(pipe.decode(step, denoise=True).frames[0]))
    with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
        file.write(np.concatenate(shown, axis=2))  # from the first clip to the second
    print(path)


if __name__ == "__main__":
    main()
