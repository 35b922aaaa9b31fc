"""Text to video: three sentences, one batch, one file each.

python demos/text_to_video.py -o outputs/sentences
"""

from scene import output
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter

PROMPTS = (
    "a red circle moves right on a blue background",
    "a big yellow star moves up on a black background",
    "a green square stands still on a white background",
)


def main() -> None:
    folder = output(__doc__, "sentences")
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    generators = [Generator().manual_seed(seed) for seed in range(len(PROMPTS))]  # one a video
    made = pipe(list(PROMPTS), generator=generators)
    for prompt, frames in zip(PROMPTS, made.frames, strict=True):  # (F, H, W, 3) in [0, 1]
        path = folder / f"{prompt.replace(' ', '-')}.mp4"
        with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
            file.write(from_unit(frames))
        print(path)
    print(f"{made.deep.evaluations} evaluations of the deep block, side by side for all")


if __name__ == "__main__":
    main()
