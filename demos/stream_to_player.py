"""Streaming: frames go to a player while later ones are still being made.

    python demos/stream_to_player.py "a red circle moves right" | mpv -
    python demos/stream_to_player.py --frames 161 | ffplay -autoexit -

What is written to the standard output is YUV4MPEG2, which players and ffmpeg read as it comes.
"""

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.assets import embedded_model

TO_YUV = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
OFFSET = np.array([16.0, 128.0, 128.0])
"""BT.601: colours in [0, 1] -> bytes of brightness and of two differences."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="a red circle moves right")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    size = pipe.defaults
    out = sys.stdout.buffer
    out.write(b"YUV4MPEG2 W%d H%d F%d:1 Ip C444\n" % (size.width, size.height, size.frame_rate))
    began, made = time.perf_counter(), 0
    generator = Generator().manual_seed(options.seed)
    for frames in pipe.stream(options.prompt, num_frames=options.frames, generator=generator):
        for frame in frames[0]:
            out.write(b"FRAME\n" + planes(frame))
        out.flush()
        made += len(frames[0])
        print(f"{made} frames after {time.perf_counter() - began:.1f} s", file=sys.stderr)


def planes(frame: NDArray[np.float32]) -> bytes:
    """A frame (H,W,3) in [0, 1] as its three planes."""
    yuv = frame @ TO_YUV.T + OFFSET
    return yuv.round().astype(np.uint8).transpose(2, 0, 1).tobytes()


if __name__ == "__main__":
    main()
