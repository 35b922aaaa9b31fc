"""The sound of a source file, carried over into a new one."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from starflow_v.data.video_io.pyav_decoder import open_container, picture_origin
from starflow_v.data.video_io.safety import PathLike

BIT_RATE = 192_000
Samples: TypeAlias = npt.NDArray[np.float32]
"""Sound as numbers, (channels, samples)."""

MOST_CHANNELS = 8
"""More are taken for damage: FFmpeg crashes over some of those."""

LEAST_HOLE = 0.05
"""Seconds without sound that are kept; shorter ones may be a source's uneven clock."""

RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000)
"""Samples per second that every player takes; other sources are brought to the first."""


class SoundTrack:
    """Copies sound along with the pictures, never further than they have come.

    Whatever the source's codec, the copy is AAC, mono or stereo, which every browser plays in an
    mp4. It begins at the very sample and ends with the pictures; a few frames of it are in memory.

    Args:
        source: a file with or without sound; without, nothing is copied.
        output: the container that the pictures go to, before its first packet.
        start: the second of the source's pictures that is the output's second 0.
    """

    def __init__(self, source: PathLike, output: OutputContainer, *, start: float = 0.0) -> None:
        self._name = str(source)
        self._output = output
        self._stream: AudioStream | None = None
        self._files = ExitStack()
        container = self._files.enter_context(open_container(source))
        if not container.streams.audio:
            return
        sound = container.streams.audio[0]
        if getattr(sound, "codec_context", None) is None:
            warnings.warn(f"{source}: its sound is in an unknown code, left out", stacklevel=2)
            return
        self._begin(container, sound, start + picture_origin(source))

    def _begin(self, container: InputContainer, source: AudioStream, origin: float) -> None:
        self._rate = source.rate if source.rate in RATES else RATES[0]
        self._layout = "mono" if source.channels == 1 else "stereo"
        self._stream = self._output.add_stream("aac", rate=self._rate, layout=self._layout)
        self._stream.bit_rate = BIT_RATE
        self._pieces = self._decoded(container, source, origin)
        self._waiting: Samples = np.zeros((1 if self._layout == "mono" else 2, 0), np.float32)
        self._copied = 0

    def advance(self, seconds: float) -> None:
        """Copy on until the output's sound has come to `seconds`."""
        if self._stream is None:
            return
        wanted = int(seconds * self._rate) - self._copied
        while self._waiting.shape[1] < wanted:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._waiting = np.concatenate([self._waiting, piece], axis=1)
        ready, self._waiting = self._waiting[:, :wanted], self._waiting[:, wanted:]
        if ready.shape[1] > 0:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(ready), "fltp", self._layout)
            frame.sample_rate, frame.pts = self._rate, self._copied
            self._copied += ready.shape[1]
            self._output.mux(self._stream.encode(frame))

    def finish(self, seconds: float) -> None:
        """Copy up to `seconds`, end the track and let go of the source."""
        if self._stream is not None:
            self.advance(seconds)
            self._output.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Let go of the source."""
        self._files.close()

    def _decoded(
        self, container: InputContainer, source: AudioStream, origin: float
    ) -> Iterator[Samples]:
        """Sound from the source's second `origin` on."""
        if origin > 0 and source.time_base is not None:
            container.seek(int(origin / source.time_base), stream=source)
        try:
            heard = self._resampled(container.decode(source))
            yield from _in_place(heard, origin=origin, rate=self._rate)
        except av.FFmpegError as error:
            self._end(str(error))

    def _resampled(self, frames: Iterator[AudioFrame]) -> Iterator[tuple[float | None, Samples]]:
        """The second at which each frame begins, and its sound.

        Its kind may change on the way, as it does in broadcasts.
        """
        kind = None
        for frame in frames:
            if frame.layout.nb_channels > MOST_CHANNELS:
                return self._end(f"it has {frame.layout.nb_channels} channels")
            this = (frame.format.name, frame.layout.name, frame.sample_rate)
            if this != kind:
                kind = this
                resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
            pieces = [piece.to_ndarray() for piece in resampler.resample(frame)]
            if pieces:
                yield frame.time, np.concatenate(pieces, axis=1).astype(np.float32, copy=False)

    def _end(self, reason: str) -> None:
        warnings.warn(f"{self._name}: its sound ends early ({reason})", stacklevel=2)


def _in_place(
    heard: Iterator[tuple[float | None, Samples]], *, origin: float, rate: int
) -> Iterator[Samples]:
    """Sound from second `origin` on, silence where there is none."""
    position: int | None = None  # of the next sample, counted from `origin`
    for time, samples in heard:
        at = (position or 0) if time is None else round((time - origin) * rate)
        if position is None or at - position > LEAST_HOLE * rate:
            position = min(at, 0) if position is None else position
            while position < at:  # by the second: a damaged time may be years away
                silence = min(at - position, rate)
                yield np.zeros((len(samples), silence), np.float32)
                position += silence
        yield samples[:, max(0, -position) :]
        position += samples.shape[1]
