"""Reading with PyAV, the default: any clip that FFmpeg decodes, from a list of plain formats."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from operator import or_

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from starflow_v.data.video_io.frames import Frame, TimedFrame, TimedFrames, VideoInfo
from starflow_v.data.video_io.safety import MediaError, MediaLimits, PathLike, open_plain_file

FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif"
"""FFmpeg's demuxers that read one file and cannot name another; playlists are not among them."""

_FLAGS = ("BILINEAR", "ACCURATE_RND", "FULL_CHR_H_INT", "FULL_CHR_H_INP")
EXACT = reduce(or_, (flag for name, flag in Interpolation.__members__.items() if name in _FLAGS))
"""How colours are converted: rounded right, chroma at full width. That is slower, so a frame is
converted only when it is asked for. PyAV before 18 (Python 3.10) knows only the first flag."""

WIDEST_PIXEL = 4
"""Twice the widest of any standard."""

CLOCK_SET_BACK = 0.5
"""Seconds: time stamps that fall by more begin anew, as where one file was put behind another."""


@contextmanager
def open_container(path: PathLike) -> Iterator[InputContainer]:
    """A media file, opened safely: the file by us, its format from the list, no protocols."""
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    with open_plain_file(path) as file:
        try:
            container = av.open(file, "r", options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            raise MediaError(
                f"{path}: not a video, or damaged ({_reason(error)}). Known formats: {FORMATS}."
            ) from error
        with container:
            yield container


@dataclass(frozen=True)
class PyAVDecoder:
    """Decodes with PyAV's FFmpeg."""

    def probe(self, path: PathLike, *, limits: MediaLimits) -> VideoInfo:
        with open_container(path) as container:
            stream = _picture_stream(path, container, limits)
            try:
                first = next(container.decode(stream))
            except (av.FFmpegError, StopIteration) as error:
                raise _damaged(path, None, _reason(error)) from error
            height, width, _ = _rgb(first, VideoReformatter(), _aspect(stream)).shape
            return VideoInfo(
                height=height,
                width=width,
                rotation=round(first.rotation / 90) * 90,
                fps=_rate(stream),
                duration=_claimed_duration(container, stream),
                has_sound=bool(container.streams.audio),
            )

    def frames(self, path: PathLike, *, start: float, limits: MediaLimits) -> TimedFrames:
        with open_container(path) as container:
            stream = _picture_stream(path, container, limits)
            last = None
            try:
                for last in _from(container, stream, start):
                    yield last
            except (av.FFmpegError, MemoryError) as error:
                raise _damaged(path, last, _reason(error)) from error
            missing = _claimed_duration(container, stream) - (last.end if last else 0.0)
            if last is None or missing > max(0.5, 2 / _rate(stream)):
                raise _damaged(path, last, "it ends early")


def picture_origin(path: PathLike) -> float:
    """The time stamp, in seconds, of a file's first picture: our time 0."""
    with open_container(path) as container:
        pictures = container.streams.video
        first = next(container.decode(pictures[0]), None) if pictures else None
        return (_stamp(first) if first else None) or 0.0


def _picture_stream(path: PathLike, container: InputContainer, limits: MediaLimits) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:  # a song's cover is a picture, but no video
        found = "only sound" if container.streams.audio else "no pictures"
        raise MediaError(f"{path}: the file holds {found}. Give a file with a video track.")
    stream = streams[0]
    if stream.codec_context is None:
        raise MediaError(f"{path}: its pictures are in an unknown code. Convert it to H.264.")
    coded = stream.codec_context
    limits.check_picture(str(path), round(coded.width * max(1, _aspect(stream))), coded.height)
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    return stream


def _from(container: InputContainer, stream: VideoStream, start: float) -> Iterator[TimedFrame]:
    """Frames from the key frame before `start` on; the file's first picture is at time 0."""
    pictures = container.decode(stream)
    first = next(pictures, None)
    if first is None:
        return
    origin = _stamp(first) or 0.0
    if start > 0 and stream.time_base is not None:
        container.seek(int((origin + start) / stream.time_base), stream=stream)
        pictures = container.decode(stream)
        first = next(pictures, None)
        if first is None or not first.key_frame or (_stamp(first) or 0.0) > origin + start:
            # No index that leads to a key frame: go through all, from before the first picture.
            container.seek(int((origin - 1) / stream.time_base), stream=stream)
            pictures = container.decode(stream)
            first = next(pictures)
    shown = chain([first], pictures)
    for frame in _timed(shown, step=1 / _rate(stream), aspect=_aspect(stream)):
        yield replace(frame, time=frame.time - origin)


def _timed(pictures: Iterable[VideoFrame], *, step: float, aspect: float) -> Iterator[TimedFrame]:
    """Pictures with their time stamps; where one has none, it comes a step after the last.

    So does the first one of a clock that was set back, and the others after it.
    """
    converter = VideoReformatter()
    time, ahead = -step, 0.0
    for picture in pictures:
        stamp, due = _stamp(picture), time + step
        if stamp is not None and stamp + ahead < time - CLOCK_SET_BACK:
            ahead = due - stamp
        time = due if stamp is None else stamp + ahead
        length = float(picture.duration * picture.time_base) if picture.time_base else 0.0
        yield TimedFrame(time, length or step, partial(_rgb, picture, converter, aspect))


def _stamp(picture: VideoFrame) -> float | None:
    """When the file wants a picture to be shown, in seconds of its own clock."""
    stamp = picture.pts if picture.pts is not None else picture.dts
    return None if stamp is None or picture.time_base is None else float(stamp * picture.time_base)


def _aspect(stream: VideoStream) -> float:
    """How wide a pixel is for its height: 1, but in old television. Absurd claims are damage."""
    told = stream.sample_aspect_ratio
    return float(told) if told and max(told, 1 / told) <= WIDEST_PIXEL else 1.0


def _rgb(frame: VideoFrame, converter: VideoReformatter, aspect: float) -> Frame:
    """The picture as it is shown. Untagged pictures are BT.709 if large, as players assume."""
    tagged = frame.colorspace in tuple(Colorspace)
    large = frame.width >= 1280 or frame.height > 576
    space = None if tagged or not large else Colorspace.ITU709
    picture = converter.reformat(
        frame,
        width=round(frame.width * aspect),
        format="rgb24",
        src_colorspace=space,
        interpolation=EXACT,
    )
    turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(picture.to_ndarray(), turns))


def _rate(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 1)


def _claimed_duration(container: InputContainer, stream: VideoStream) -> float:
    """The pictures' seconds by the header; the file's own where pictures are all it has."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if len(container.streams) > 1 or not container.duration:
        return 0.0
    counts_from_zero = "matroska" in container.format.name
    silence = (container.start_time or 0) if counts_from_zero else 0
    return (container.duration - silence) / av.time_base


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or "no pictures"


def _damaged(path: PathLike, last: TimedFrame | None, reason: str) -> MediaError:
    after = f"after {last.end:.2f} s" if last else "before its first frame"
    return MediaError(f"{path}: damaged or cut short {after} ({reason}). Copy or convert it anew.")
