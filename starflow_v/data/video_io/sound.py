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
        self._files = ExitStack()
        container = self._files.enter_context(open_container(source))
        self._stream: AudioStream | None = None
        if container.streams.audio:
            origin = start
            if container.streams.video:
                origin += picture_origin(container, container.streams.video[0])
            self._begin(container, container.streams.audio[0], origin)

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
        """Sound from the source's second `origin` on, silence where it begins later."""
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        position: int | None = None  # of the next sample, counted from `origin`
        try:
            if origin > 0 and source.time_base is not None:
                container.seek(int(origin / source.time_base), stream=source)
            for frame in container.decode(source):
                if position is None:
                    position = round(((frame.time or 0.0) - origin) * self._rate)
                    yield np.zeros((len(self._waiting), max(0, position)), np.float32)
                for piece in resampler.resample(frame):
                    samples = piece.to_ndarray().astype(np.float32, copy=False)
                    yield samples[:, max(0, -position) :]
                    position += samples.shape[1]
        except av.FFmpegError as error:
            warnings.warn(f"{self._name}: its sound ends early ({error})", stacklevel=2)
