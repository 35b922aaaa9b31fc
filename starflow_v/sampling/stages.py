"""Stages: Iterator[frames] -> Iterator[frames].

    noise z --DeepStage--> u --ShallowStage--> x --DenoiseStage--> clean latents

A stage takes (B, k, c, h, w) and hands on what is ready: one frame at a time makes a stream, all
frames at once (`gather`) makes the best use of a batch. The stages that solve say afterwards what
it took. The last stage, from clean latents to pixels, is the codec's `decode_stream`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile
from typing import Protocol

import torch
from torch import Tensor

from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Cost, Solver
from starflow_v.flow.solver.cost import NOT_FINITE
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.texts import Later
from starflow_v.flow.window import Window
from starflow_v.sampling.abandoning import AbandonableSolver, while_wanted
from starflow_v.sampling.trouble import Trouble

Frames = Iterator[Tensor]


class Denoiser(Protocol):
    """Cleans noisy latents on a stream: `CausalDenoiser` or `ScoreDenoiser`."""

    @property
    def lookahead(self) -> int:
        """How many frames the cleaned frame lies behind the newest one."""

    def denoise_frames(self, frames: Iterable[Tensor], text: Tensor | None) -> Frames:
        """(B, 1, c, h, w) each -> the same, cleaned."""


def gather(frames: Frames, *, at_most: int | None = None) -> Frames:
    """Wait for all frames and hand them on as one tensor, or as several of so many frames."""
    waited = list(frames)
    if waited:
        yield from torch.cat(waited, dim=1).split(at_most or sys.maxsize, dim=1)


def one_by_one(frames: Frames) -> Frames:
    """Hand on every frame by itself."""
    for several in frames:
        yield from several.split(1, dim=1)


def _sound(frames: Tensor, place: str) -> Tensor:
    """The frames, if they are numbers; a plan runs without any."""
    if not frames.is_meta and not frames.isfinite().all():
        raise FloatingPointError(f"{place}: {NOT_FINITE}")
    return frames


@dataclass
class DeepStage:
    """z -> u through the deep block, frame by frame. Arguments as `StarFlowModel.solve_deep`."""

    flow: StarFlowModel
    text: Tensor | None
    frames: int
    solver: Solver
    null_text: Tensor | None = None
    guidance: Guidance | None = None
    prefix: Tensor | None = None
    window: Window | None = None
    restart: Later | None = None
    cost: Cost = field(default=Cost(), init=False)

    def __call__(self, noise: Frames) -> Frames:
        solved = self.flow.solve_deep(
            one_by_one(noise),
            self.text,
            frames=self.frames,
            solver=AbandonableSolver(self.solver),
            null_text=self.null_text,
            guidance=self.guidance,
            prefix=self.prefix,
            window=self.window,
            restart=self.restart,
        )
        known = 0 if self.prefix is None else self.prefix.shape[1]
        for frame, (u, cost) in enumerate(solved, start=known):
            self.cost += cost
            yield _sound(u, f"latent frame {frame} in the deep block")


@dataclass
class ShallowStage:
    """u -> x through the shallow blocks; the frames of a call are solved side by side."""

    flow: StarFlowModel
    solver: Solver
    cost: Cost = field(default=Cost(), init=False)

    def __call__(self, frames: Frames) -> Frames:
        for u in frames:
            x, cost = self.flow.solve_shallow(u, AbandonableSolver(self.solver))
            self.cost += cost
            yield _sound(x, "the shallow blocks")


@dataclass
class DenoiseStage:
    """Noisy latents -> clean ones, `lookahead` frames behind.

    A video longer than the deep block's window is cleaned in chunks of that length, since the
    denoiser knows no later positions. The frames at the end of a chunk that could not look ahead
    are left to the next one, which begins some frames before them for context: half of what the
    look-ahead leaves. (A look-ahead longer than half a chunk is cut to that.) Where the text
    changes a chunk begins again, with the same frames.

    Known frames are context only: they come first, as noisy as the others, and are not handed on.

    Where the frames fail, those that waited for their look-ahead are cleaned without it first.

    Args:
        denoiser: the denoiser.
        text: text embeddings, (B, L, E).
        window: the deep block's window; `None`: one chunk, with one text.
        prefix: noisy latents (B, P, c, h, w) of the known frames before those to be cleaned.
        later: what is told later, and when, to chunks that begin with the first frame and to
            others; `None`: always the text.
    """

    denoiser: Denoiser
    text: Tensor | None
    window: Window | None = None
    prefix: Tensor | None = None
    later: Later | None = None

    def __call__(self, frames: Frames) -> Frames:
        if self.prefix is None:
            return self._clean(frames)
        joined = _behind(self.prefix, frames)
        return islice(self._clean(joined), self.prefix.shape[1], None)

    def _clean(self, frames: Frames) -> Frames:
        stream = _Peekable(one_by_one(frames))
        if self.window is None:
            yield from self.denoiser.denoise_frames(stream, self.text)
            stream.check()
            return
        length = self.window.frames
        ahead = min(self.denoiser.lookahead, max(1, (length - 1) // 2), length - 1)
        again = ahead + (length - ahead) // 2
        held: list[Tensor] = []  # noisy frames of the chunk, from number `first` on
        first = cleaned = 0
        while cleaned < first + len(held) or not stream.empty():
            text, same = self._told(cleaned, restarted=first > 0, at_most=length)
            change = cleaned + same
            fresh = _recorded(islice(stream, length - len(held)), held)
            again_read = while_wanted(tuple(held))
            chunk = self.denoiser.denoise_frames(chain(again_read, fresh), text)
            for number, frame in enumerate(chunk, start=first):
                if number >= change or (number - first >= length - ahead and not stream.empty()):
                    break
                if number >= cleaned:
                    cleaned += 1
                    yield frame
            if cleaned - first >= length - ahead and not stream.empty():
                first += len(held) - again
                held = held[len(held) - again :]
        stream.check()

    def _told(self, frame: int, *, restarted: bool, at_most: int) -> tuple[Tensor | None, int]:
        """The text of a frame, and for how many frames from it on it stays the same."""
        if self.later is None:
            return self.text, at_most
        told = self.later.at(frame, restarted=restarted)
        following = (self.later.at(frame + k, restarted=restarted) for k in range(at_most))
        same = sum(1 for _ in takewhile(lambda other: other is told, following))
        return self.text if told is None else told.text, same


def _behind(prefix: Tensor, frames: Frames) -> Frames:
    """The prefix, then the frames; it waits for the first of these, and without any gives none.

    Under model offload the denoiser must not wake before the flow is done.
    """
    first = next(frames, None)
    if first is not None:
        yield from (prefix, first)
        yield from frames


class _Peekable:
    """An iterator that can say whether it is at its end, or has failed, which ends it, too."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._next: list[Tensor] = []
        self._trouble = Trouble()

    def __iter__(self) -> Frames:
        return self

    def __next__(self) -> Tensor:
        if self._next:
            return self._next.pop()
        try:
            return next(self._frames)
        except StopIteration:
            raise
        except Exception as error:
            self._trouble.keep(error)
            raise StopIteration from None

    def empty(self) -> bool:
        """Whether no frame is left; waits for the next one."""
        if not self._next:
            self._next.extend(islice(self, 1))
        return not self._next

    def check(self) -> None:
        """Raise what it failed with."""
        self._trouble.check()


def _recorded(frames: Iterable[Tensor], held: list[Tensor]) -> Frames:
    for frame in frames:
        held.append(frame)
        yield frame
