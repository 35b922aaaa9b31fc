"""H.264 in mp4, as browsers and phones play it: yuv420p, BT.709, header in front (faststart)."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from starflow_v.data.video_io.frames import Frame
from starflow_v.data.video_io.pyav_decoder import EXACT
from starflow_v.data.video_io.safety import PathLike
from starflow_v.data.video_io.sound import SoundTrack

SMALL = 256 * 256
"""Pictures of fewer pixels cost next to nothing, so they are kept nearly as they are."""

REPEATABLE = {"x264-params": "mbtree=0"}
"""The same frames give the same file: x264's macroblock tree now and then gives small pictures
other bits."""


class Mp4Sink:
    """Encodes each frame as it comes; memory does not grow with the clip.

    Sides must be even for yuv420p: an odd side is padded by its last row or column.

    Args:
        part: where to write.
        fps: frames per second.
        crf: x264's rate factor, 0 (lossless in YUV) to 51; `None` is 18, or 12 for small pictures.
        sound_from: a file whose sound is carried over; `None` is silence.
        sound_start: the second of that file at which our first frame stands.
    """

    def __init__(
        self,
        part: Path,
        fps: float,
        *,
        crf: int | None = None,
        sound_from: PathLike | None = None,
        sound_start: float = 0.0,
    ) -> None:
        self._part = part
        self._rate = Fraction(fps).limit_denominator(1001)
        self._crf = crf
        self._count = 0
        self._stream: VideoStream | None = None
        self._sound: SoundTrack | None = None
        self._container: OutputContainer = av.open(
            f"file:{part.absolute()}", "w", format="mp4", options={"movflags": "+faststart"}
        )
        if sound_from is not None:
            try:
                self._sound = SoundTrack(sound_from, self._container, start=sound_start)
            except ValueError:
                self.discard()
                raise

    def write(self, frame: Frame) -> None:
        picture = _even(frame)
        if self._stream is None:
            self._stream = self._add_stream(*picture.shape[:2])
        yuv = VideoFrame.from_ndarray(picture, "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=EXACT
        )
        yuv.pts, yuv.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(yuv))
        self._count += 1
        if self._sound is not None:
            self._sound.advance(float(self._count / self._rate))

    def finish(self) -> None:
        assert self._stream is not None
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish(float(self._count / self._rate))
        self._container.close()
        self._check_whole()

    def discard(self) -> None:
        if self._sound is not None:
            self._sound.close()
        with suppress(av.FFmpegError, OSError):
            self._container.close()
        self._part.unlink(missing_ok=True)

    def _add_stream(self, height: int, width: int) -> VideoStream:
        crf = self._crf if self._crf is not None else (12 if height * width < SMALL else 18)
        options = {"crf": str(crf), **REPEATABLE}
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.IEC61966_2_1
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        return stream

    def _check_whole(self) -> None:
        """FFmpeg moves the header to the front at the end; a failure there must not go unseen."""
        with open(self._part, "rb") as file, av.open(file, "r", format="mp4") as written:
            found = written.streams.video[0].frames
        if found != self._count:
            raise OSError(f"{self._part}: {found} of {self._count} frames arrived in the file")


def _even(frame: Frame) -> Frame:
    height, width, _ = frame.shape
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(frame)
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
