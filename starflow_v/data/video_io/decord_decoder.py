"""Reading with decord, an option: fast on x86, unmaintained, with an FFmpeg of 2020 inside.

Install it by `pip install 'starflow_v[decord]'` and pass `decoder=DecordDecoder()`. It is kept
behind PyAV: PyAV opens each file first, so its list of formats guards decord too, and reads what
decord 0.6 garbles, pictures that the metadata turns and pictures a few pixels wide.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from starflow_v.data.video_io.frames import TimedFrame, TimedFrames, VideoInfo
from starflow_v.data.video_io.pyav_decoder import PyAVDecoder
from starflow_v.data.video_io.safety import MediaError, MediaLimits, PathLike


@dataclass(frozen=True)
class DecordDecoder:
    """Decodes with decord where it can, with `fallback` where it cannot."""

    fallback: PyAVDecoder = field(default_factory=PyAVDecoder)

    def probe(self, path: PathLike, *, limits: MediaLimits) -> VideoInfo:
        return self.fallback.probe(path, limits=limits)

    def frames(self, path: PathLike, *, start: float, limits: MediaLimits) -> TimedFrames:
        decord = _decord()
        info = self.probe(path, limits=limits)
        try:
            reader = decord.VideoReader(str(Path(path).resolve()), num_threads=1)
            if info.rotation or reader[0].shape != (info.height, info.width, 3):
                yield from self.fallback.frames(path, start=start, limits=limits)
                return
            times = reader.get_frame_timestamp(range(len(reader)))
            times = times - times[0, 0]
            first = max(0, int((times[:, 0] <= start).sum()) - 1)
            for index in range(first, len(reader)):
                begin, end = times[index].tolist()
                yield TimedFrame(begin, end - begin, reader[index].asnumpy)
        except (decord.DECORDError, IndexError, RuntimeError) as error:
            raise MediaError(f"{path}: decord cannot read it. Try PyAVDecoder().") from error


def _decord() -> ModuleType:
    try:
        import decord
    except ImportError as error:
        raise ValueError(
            "DecordDecoder needs decord, which is not installed. Install it by"
            " pip install 'starflow_v[decord]' (Linux on x86_64), or use PyAVDecoder()."
        ) from error
    return decord
