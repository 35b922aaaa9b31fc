"""Image to video: a still is set in motion, first one way, then another.

python demos/image_to_video.py -o outputs/animated.webp
"""

import numpy as np
from scene import output, scene
from torch import Generator

from starflow_v import StarFlowVImageToVideoPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter

MOTIONS = ("moves left", "moves right", "moves up", "moves down")


def main() -> None:
    path = output(__doc__, "animated.webp")
    pipe = StarFlowVImageToVideoPipeline.from_pretrained(embedded_model())
    clip, caption = scene()
    thing, _, place = caption.partition(" moves ")
    background = place[place.find(" on ") :]
    prompts = [f"{thing} {motion}{background}" for motion in MOTIONS]
    made = pipe([clip[0]] * len(prompts), prompts, generator=Generator().manual_seed(0))
    print("\n".join(prompts))
    with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
        file.write(np.concatenate(list(from_unit(made.frames)), axis=2))  # side by side
    print(path)


if __name__ == "__main__":
    main()
