"""Long video: six times the trained length, with prompts that change on the way, as a stream.

    python demos/long_video.py -o outputs/long.mp4

Memory does not grow with the length: the deep block holds a window of frames, and starts afresh
with the last ones when it is full.
"""

from scene import output
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit
from starflow_v.data.video_io import VideoWriter

PROMPTS = {  # pixel frame -> what is told from there on
    0: "a red circle moves right on a blue background",
    33: "a red circle moves left on a blue background",
    65: "a red circle bounces on a blue background",
}
LENGTH = 97


def main() -> None:
    path = output(__doc__, "long.mp4")
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    generator = Generator().manual_seed(0)
    with VideoWriter(path, pipe.defaults.frame_rate, overwrite=True) as file:
        for frames in pipe.stream(PROMPTS, num_frames=LENGTH, generator=generator):
            file.write(from_unit(frames[0]))
            told = max(frame for frame in PROMPTS if frame < file.frames_written)
            print(f"{file.frames_written:3d} frames   {PROMPTS[told]}")
    print(path)


if __name__ == "__main__":
    main()
