"""Video to video, three ways: by an instruction, through a mask, by inversion.

python demos/video_to_video.py -o outputs/edited.webp
"""

import numpy as np
from scene import output, scene
from torch import Generator

from starflow_v import StarFlowVVideoToVideoPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter


def main() -> None:
    path = output(__doc__, "edited.webp")
    pipe = StarFlowVVideoToVideoPipeline.from_pretrained(embedded_model())
    clip, caption = scene()
    hole = np.zeros(clip.shape[1:3], bool)
    hole[:, 32:] = True  # the right half is made anew
    ways = {
        "make it green": {},
        "fill in the masked region": {"mask": hole},
        caption: {"strength": 0.5},  # half of the clip's own noise is forgotten
    }
    shown = [clip]
    for prompt, options in ways.items():
        made = pipe(clip, prompt, generator=Generator().manual_seed(0), **options)
        shown.append(from_unit(made.frames[0]))
        print(prompt, *options)
    with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
        file.write(np.concatenate(shown, axis=2))  # the clip, then the three, side by side
    print(path)


if __name__ == "__main__":
    main()
