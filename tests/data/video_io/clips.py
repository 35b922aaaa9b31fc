"""Small clips made on the spot: a disc that moves over a colour ramp, with what a test asks for."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Clip = npt.NDArray[np.uint8]
MILLISECOND = Fraction(1, 1000)
RATE = 48_000  # samples per second


def disc_clip(num_frames: int = 8, height: int = 48, width: int = 64) -> Clip:
    """Frames (F,H,W,3): red disc, moving right, on a blue ramp."""
    rows, columns = np.mgrid[:height, :width]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for index in range(num_frames):
        frames[index] = np.stack([30 + 0 * columns, 60 + 0 * columns, 120 + columns], -1)
        centre = width * (0.3 + 0.4 * index / num_frames)
        inside = (columns - centre) ** 2 + (rows - height / 2) ** 2 < (0.2 * height) ** 2
        frames[index, inside] = (220, 20, 30)
    return frames


def gray_clip(levels: Sequence[int], height: int = 16, width: int = 16) -> Clip:
    """Frames of one gray level each, so that a frame can be told from its pixels."""
    return np.broadcast_to(
        np.array(levels, np.uint8)[:, None, None, None], (len(levels), height, width, 3)
    ).copy()


def levels_of(frames: Clip) -> list[int]:
    """The level of each frame of a `gray_clip`, to the nearest ten (H.264 is off by one or two)."""
    return [round(frame.mean() / 10) * 10 for frame in frames]


def make_video(
    path: Path,
    frames: Clip,
    *,
    fps: float = 10,
    times: Sequence[float] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    sound: Sequence[float] = (),
    faststart: bool = False,
) -> Path:
    """Write a file with PyAV itself, so that readers are not tested by our writer's habits.

    `times` are the frames' seconds, for variable rates; `sound` is (begin, end) of a tone;
    `rotation` is told to players by metadata, in degrees counter-clockwise, and `aspect`, how wide
    a pixel is for its height.
    """
    rate = Fraction(fps).limit_denominator(1001)
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = tone = None
        if len(frames):
            stream = container.add_stream("libx264", rate=rate, options={"crf": "4"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            tick = 1 / rate if times is None else MILLISECOND
            stream.codec_context.time_base = tick
            stream.set_display_rotation(rotation)
        if sound:
            tone = container.add_stream("aac", rate=RATE, layout="mono")
            container.mux(tone.encode(_tone(*sound)))
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = round(times[index] / tick) if times else index, tick
            container.mux(stream.encode(frame))
        for each in (stream, tone):
            if each is not None:
                container.mux(each.encode(None))
    return path


def _tone(begin: float, end: float) -> av.AudioFrame:
    seconds = np.arange(int(begin * RATE), int(end * RATE)) / RATE
    wave = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = RATE, int(begin * RATE)
    return frame


def loudness(path: Path, seconds: float) -> list[float]:
    """Root mean square of a file's sound, one number for each stretch of `seconds`."""
    with av.open(str(path)) as container:
        pieces = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    wave = np.zeros(round((pieces[-1][0]) * rate) + len(pieces[-1][1]))
    for time, piece in pieces:
        begin = max(0, round(time * rate))
        wave[begin : begin + len(piece)] = piece[: len(wave) - begin]
    step = int(seconds * rate)
    return [float(np.sqrt(np.mean(wave[i : i + step] ** 2))) for i in range(0, len(wave), step)]
