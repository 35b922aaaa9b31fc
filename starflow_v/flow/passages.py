"""Frames of noise in passages: what the deep block takes in without beginning again.

A solver takes a frame ahead, so where a passage ends must be known before its last frame stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from starflow_v.flow.texts import Reader


class Passages:
    """Noise to come.

    Args:
        noise: frames of z, (B, N, C) each.
        first: the number of the first one.
        reader: tells which other texts must be read, and when; `None`: none.
    """

    def __init__(self, noise: Iterable[Tensor], *, first: int, reader: Reader | None) -> None:
        self._noise, self._reader = iter(noise), reader
        self._waiting = next(self._noise, None)
        self._news: Tensor | None = None  # what must be read before it
        self._trouble: Exception | None = None  # on the way to it
        self.frame = first  # its number

    @property
    def more(self) -> bool:
        """Whether there is another frame.

        Raises:
            Exception: of the noise or of the reader, once the frames before it stand.
        """
        if self._trouble is not None:
            raise self._trouble
        return self._waiting is not None

    def text(self, *, restarted: bool) -> Tensor | None:
        """What must be read before the next frame; `None`: nothing new."""
        news, self._news = self._news, None
        return self._hear(restarted) if news is None else news

    def passage(self, room: int | None, *, restarted: bool) -> Iterator[Tensor]:
        """Frames up to the next text, and no more than there is room for."""
        taken = 0
        while self._waiting is not None and taken != room and self._news is None:
            yield self._waiting
            taken += 1
            try:
                self._advance(None if taken == room else restarted)
            except Exception as error:  # the solver is a frame ahead: its frame is not lost
                self._trouble = error
                return

    def _advance(self, restarted: bool | None) -> None:
        """On to the next frame; `None`: it begins a passage, so nothing is heard yet."""
        self._waiting = next(self._noise, None)
        self.frame += 1
        if self._waiting is not None and restarted is not None:
            self._news = self._hear(restarted)

    def _hear(self, restarted: bool) -> Tensor | None:
        return None if self._reader is None else self._reader.news(self.frame, restarted=restarted)
