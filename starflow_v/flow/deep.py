"""The global half of the flow, u <-> z: one deep block, causal over all frames, text in front."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count

import torch
from einops import rearrange
from torch import Tensor, nn

from starflow_v.flow.block import FlowBlock
from starflow_v.flow.context_noise import noisy_context
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.likelihood import LOG_TAU
from starflow_v.flow.order import TokenOrder
from starflow_v.flow.passages import Passages
from starflow_v.flow.patches import Grid
from starflow_v.flow.positions import slot_positions
from starflow_v.flow.predictor import BlockPredictor, GuidedPredictor, PairedPredictor, Predictor
from starflow_v.flow.solver import Cost, Solver, solve_frames_at
from starflow_v.flow.texts import Reader, Texts
from starflow_v.flow.window import Window
from starflow_v.nn.cache import AS_THEY_COME
from starflow_v.nn.rope import Rotary
from starflow_v.nn.storage import CacheStorage


class DeepFlow(nn.Module):
    """The deep block over the sequence of frames.

    Args:
        block: the transformer, with a text input if the model is conditioned on text.
        order: in which order it runs through the tokens of each frame.
        groups: groups of tokens per frame (1: frame-causal), or `None`: token by token.
        reference: R of the rotary positions.
    """

    def __init__(
        self, block: FlowBlock, order: TokenOrder, *, groups: int | None, reference: float
    ) -> None:
        super().__init__()
        if groups is not None and groups < 1:
            raise ValueError(
                f"deep_groups={groups} is not valid: give 1 (frame-causal) or more, or None (token "
                "by token)"
            )
        self.block = block
        self.order = order
        self.groups = groups
        self.reference = reference
        self.storage: CacheStorage = AS_THEY_COME

    def forward(
        self,
        u: Tensor,
        text: Tensor | None,
        grid: Grid,
        times: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """u (B, T, N, C), text (B, L, E) -> z (B, T, N, C) and log |dz/du| (B, T, N).

        Args:
            times: where each frame stands in its video, (T,); `None`: one after the other.
            noise: context noise (B, T, N, C), or `None`.
        """
        frames = u.shape[1]
        slots = rearrange(self.order.to_slots(u, grid), "b t n c -> b (t n) c")
        group = grid.group(self.groups)
        read = noisy_context(slots, None if noise is None else noise.flatten(1, 2))
        params = self.block(
            read[:, : slots.shape[1] - group],
            self._positions(frames, text, grid, u.device, times),
            count=slots.shape[1],
            group=group,
            text=text,
        ).to(u.device)
        shape = {"t": frames, "n": grid.tokens}
        z = rearrange(params.normalize(slots), "b (t n) c -> b t n c", **shape)
        log_det = rearrange(params.log_det(), "b (t n) -> b t n 1", **shape)
        return self.order.to_raster(z, grid), self.order.to_raster(log_det, grid)[..., 0]

    def log_prob(self, u: Tensor, text: Tensor | None, grid: Grid) -> Tensor:
        """log p(u | text) of tokens (B, T, N, C), (B,), in nats.

        The shallow blocks are told nothing, so texts of one video differ in this alone.
        """
        z, log_det = self(u, text, grid)
        energy = (z.square() + LOG_TAU) / 2
        return log_det.flatten(1).sum(1) - energy.flatten(1).sum(1)

    def in_windows(
        self,
        u: Tensor,
        text: Tensor | None,
        grid: Grid,
        window: Window,
        restart_text: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The same of a video of any length, the inverse of `solve_frames` with its window.

        Each chunk begins with the frames that the window carries over, whose z is known already;
        `restart_text` is read from the second chunk on (`None`: the text).
        """
        parts: list[tuple[Tensor, Tensor]] = []
        for carried, fresh in _chunks(list(u.unbind(1)), window):
            told = restart_text if parts and restart_text is not None else text
            z, log_det = self(torch.stack([*carried, *fresh], dim=1), told, grid)
            parts.append((z[:, len(carried) :], log_det[:, len(carried) :]))
        whole, log_dets = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
        return whole, log_dets

    def predictor(
        self,
        text: Tensor | None,
        grid: Grid,
        *,
        frames: int,
        device: torch.device,
        null_text: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> Predictor:
        """A predictor that holds up to `frames` frames; guided if guidance is active."""
        positions = self._positions(frames, text, grid, device)
        tempered = guidance is not None and guidance.temperature != 1
        alone = text is None and tempered  # it needs no other text
        read = None if alone else Texts(text, null_text).for_predictor(guidance)

        def predictor(text: Tensor | None, positions: Rotary) -> Predictor:
            group, storage = grid.group(self.groups), self.storage
            return BlockPredictor(self.block, positions, group=group, text=text, storage=storage)

        if guidance is None or not guidance.active:
            return predictor(read, positions)
        if not tempered:
            return GuidedPredictor(predictor(read, positions), guidance)
        told, null = (None, None) if read is None else read.chunk(2)
        other = predictor(null, positions._replace(temperature=guidance.temperature))
        return GuidedPredictor(PairedPredictor(predictor(told, positions), other), guidance)

    def solve_frames(
        self,
        noise: Iterable[Tensor],
        grid: Grid,
        predictor: Predictor,
        solver: Solver,
        *,
        prefix: Tensor | None = None,
        window: Window | None = None,
        reader: Reader | None = None,
    ) -> Iterator[tuple[Tensor, Cost]]:
        """z frame by frame -> u frame by frame, each as soon as it stands.

        Where the text changes while the window is not full, the block begins again with all the
        frames that it holds, each at its place: they are read anew under the new text.

        Args:
            noise: frames of z after the prefix, (B, N, C) each.
            grid: their tokens.
            predictor: fresh, with room for the window, or for all frames if they are fewer.
            solver: how a frame is solved.
            prefix: known frames of u, (B, P, N, C), that come first and are not yielded.
            window: when to restart; `None`: never.
            reader: tells which other texts the predictor reads, and when; `None`: none.

        Yields:
            u (B, N, C) of each frame of noise, and its cost (the prefix' or a restart's included).
        """
        known = [] if prefix is None else list(prefix.unbind(1))
        held = list(known) if window is None else _in_window(known, window)
        history = deque(known, maxlen=window.overlap if window else 1)
        restarted = len(held) < len(known)
        last = known[-1] if known else None
        coming = Passages(noise, first=len(known), reader=reader)
        while coming.more:
            if window is not None and len(held) == window.frames:
                held = [*_carried(window, history)]
                restarted = True
            predictor.restart(coming.text(restarted=restarted))
            cost = self._commit(predictor, held, grid)
            room = None if window is None else window.frames - len(held)
            passage = coming.passage(room, restarted=restarted)
            for slots, spent in solve_frames_at(
                (f"latent frame {frame} in the deep block" for frame in count(coming.frame)),
                solver,
                predictor,
                (self.order.to_slots(z, grid) for z in passage),
                guess=None if last is None else self.order.to_slots(last, grid),
            ):
                last = self.order.to_raster(slots, grid)
                history.append(last)
                held.append(last)
                yield last, cost + spent
                cost = Cost()

    def normalize_frames(
        self,
        u: Tensor,
        grid: Grid,
        predictor: Predictor,
        *,
        window: Window | None = None,
        restart_text: Tensor | None = None,
    ) -> Tensor:
        """u -> z, (B, T, N, C) each: what `solve_frames` makes u of with such a predictor.

        So it is the map under guidance, too. Arguments as `solve_frames`.
        """
        parts: list[Tensor] = []
        for carried, fresh in _chunks(list(u.unbind(1)), window):
            if parts:
                predictor.restart(restart_text if len(parts) == 1 else None)
            self._commit(predictor, carried, grid)
            ordered = self.order.to_slots(torch.stack(fresh, dim=1), grid)
            slots = rearrange(ordered, "b t n c -> b (t n) c")
            z = predictor.propose(slots).normalize(slots)
            parts.append(rearrange(z, "b (t n) c -> b t n c", t=len(fresh)))
        return self.order.to_raster(torch.cat(parts, dim=1), grid)

    def _commit(self, predictor: Predictor, frames: list[Tensor], grid: Grid) -> Cost:
        """Settle known frames, all in one evaluation."""
        if not frames:
            return Cost()
        slots = torch.cat([self.order.to_slots(frame, grid) for frame in frames], dim=1)
        predictor.propose(slots)
        predictor.commit(slots)
        return Cost(evaluations=1, tokens=slots.shape[1])

    def _positions(
        self,
        frames: int,
        text: Tensor | None,
        grid: Grid,
        device: torch.device,
        times: Tensor | None = None,
    ) -> Rotary:
        return slot_positions(
            self.order,
            grid,
            head_dim=self.block.head_dim,
            reference=self.reference,
            device=device,
            frames=frames,
            group=grid.group(self.groups),
            text=0 if text is None else text.shape[1],
            times=times,
        )


def _chunks(
    frames: list[Tensor], window: Window | None
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """The frames as they come between restarts, each time behind those that the window carries."""
    carried: list[Tensor] = []
    start = 0
    while start < len(frames):
        room = len(frames) if window is None else window.frames - len(carried)
        fresh = frames[start : start + room]
        yield carried, fresh
        start += len(fresh)
        if window is not None and start < len(frames):
            carried = _carried(window, frames[max(start - window.overlap, 0) : start])


def _in_window(known: list[Tensor], window: Window) -> list[Tensor]:
    """The frames to begin with after so many known ones, in step with a run that made them.

    Its restarts are gone through one by one, since a window may carry as much as it likes.
    """
    carried: list[Tensor] = []
    start = 0  # of the known frames that are in the block behind those carried
    while len(carried) + len(known) - start >= window.frames:
        start += window.frames - len(carried)
        carried = _carried(window, known[max(start - window.overlap, 0) : start])
    return carried + known[start:]


def _carried(window: Window, history: Iterable[Tensor]) -> list[Tensor]:
    """What the window hands over at a restart, with room for at least one frame behind it."""
    carried = window.carry(list(history))
    if len(carried) >= window.frames:
        raise ValueError(
            f"the window carries {len(carried)} frames over a restart but holds {window.frames}: "
            f"carry at most {window.frames - 1}, or make it longer"
        )
    return carried
