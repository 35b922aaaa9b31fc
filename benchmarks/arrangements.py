"""One flow, three arrangements of its shallow blocks; what `global_local.py` compares.

    GlobalLocal       each frame by itself                     x_t -> u_t
    CausalSequence    the whole video, frames in order         x_t -> u_t, given x_<t
    TwoWaySequence    the whole video, frames in turn forwards and backwards

An arrangement takes a model's own blocks, so parameters, their first values and their names stay
the same; the deep block is never touched. Within a frame, every block of every arrangement runs
through the tokens as the model's own does. It also says how its model is sampled: what must be
known before a frame of x can be solved is what tells the three apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from einops import rearrange
from torch import Tensor

from starflow_v.flow.block import FlowBlock
from starflow_v.flow.order import TokenOrder
from starflow_v.flow.patches import Grid
from starflow_v.flow.predictor import BlockPredictor
from starflow_v.flow.shallow import ShallowFlow
from starflow_v.flow.solver import Cost, Solver
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.window import Window
from starflow_v.nn.rope import Rotary, rotary, video_positions
from starflow_v.sampling.stages import Frames, ShallowStage, gather, one_by_one


@dataclass(frozen=True)
class Forwards:
    """All tokens of a video, frame after frame."""

    inside: TokenOrder

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        """(B, T, N, C) in raster order -> (B, T·N, C) in the order of the block."""
        return rearrange(self.inside.to_slots(tokens, grid), "b t n c -> b (t n) c")

    def to_frames(self, slots: Tensor, frames: int, grid: Grid) -> Tensor:
        """The inverse of `to_slots`."""
        return self.inside.to_raster(rearrange(slots, "b (t n) c -> b t n c", t=frames), grid)


@dataclass(frozen=True)
class Backwards:
    """All tokens of a video, from the last frame to the first."""

    inside: TokenOrder

    def to_slots(self, tokens: Tensor, grid: Grid) -> Tensor:
        """(B, T, N, C) in raster order -> (B, T·N, C) in the order of the block."""
        return Forwards(self.inside).to_slots(tokens.flip(1), grid)

    def to_frames(self, slots: Tensor, frames: int, grid: Grid) -> Tensor:
        """The inverse of `to_slots`."""
        return Forwards(self.inside).to_frames(slots, frames, grid).flip(1)


SequenceOrder = Forwards | Backwards


class SequenceShallow(ShallowFlow):
    """A model's shallow blocks over the whole video. Token by token, as they are.

    Args:
        own: the blocks as the model has them, each frame by itself.
        frame_orders: for each block, in which order it takes the frames.
    """

    def __init__(self, own: ShallowFlow, frame_orders: Sequence[type[SequenceOrder]]) -> None:
        blocks = cast(Sequence[FlowBlock], own.blocks)
        super().__init__(blocks, own.orders, groups=own.groups, reference=own.reference)
        assert own.groups is None, "groups of tokens are not compared here"
        pairs = zip(frame_orders, own.orders, strict=True)
        self.sequence_orders: tuple[SequenceOrder, ...] = tuple(kind(it) for kind, it in pairs)

    def forward(
        self,
        x: Tensor,
        grid: Grid,
        made: list[Tensor] | None = None,
        noises: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """x (B, T, N, C) -> u (B, T, N, C) and log |du/dx|, (B, T, N).

        The map is triangular over the video, not over a frame: entry (t, n) of the log-determinant
        is what that token contributes. What each block makes is appended to `made`.
        """
        assert not noises, "these blocks read tokens as they are"
        frames = x.shape[1]
        log_det = x.new_zeros(x.shape[:3])
        for block, order in self.sequence_steps():
            slots = order.to_slots(x, grid)
            positions = self.sequence_positions(block, frames, grid, x.device)
            params = block(slots[:, :-1], positions, count=slots.shape[1])
            x = order.to_frames(params.normalize(slots), frames, grid)
            log_det = log_det + order.to_frames(params.log_det()[..., None], frames, grid)[..., 0]
            if made is not None:
                made.append(x)
        return x, log_det

    def solve(self, u: Tensor, grid: Grid, solver: Solver) -> tuple[Tensor, Cost]:
        """u (B, T, N, C) -> x (B, T, N, C) of a whole video, and what it cost."""
        frames, cost = u.shape[1], Cost()
        for block, order in reversed(self.sequence_steps()):
            positions = self.sequence_positions(block, frames, grid, u.device)
            slots, spent = solver.solve(BlockPredictor(block, positions), order.to_slots(u, grid))
            u = order.to_frames(slots, frames, grid)
            cost += spent
        return u, cost

    def sequence_steps(self) -> list[tuple[FlowBlock, SequenceOrder]]:
        """The blocks and their orders, from the data towards the noise."""
        return list(zip(cast(Sequence[FlowBlock], self.blocks), self.sequence_orders, strict=True))

    def sequence_positions(
        self, block: FlowBlock, frames: int, grid: Grid, device: torch.device
    ) -> Rotary:
        """Positions of all slots; they belong to slots, whatever tokens come to lie there."""
        positions = video_positions(frames, *grid, reference=self.reference)
        return rotary(positions.to(device), block.head_dim)


class RollingShallow:
    """u -> x frame by frame through blocks that run forwards over the video: a stage.

    It is also the deep block's window. The u of a frame depends on the frames of x before it, so at
    a restart the u of the frames that are carried over change: the last frames of x, which are what
    is known, are read again as the beginning of a sequence.

    Args:
        flow: a model arranged as `CausalSequence`.
        solver: how a frame is solved.
        window: how many frames are held, and how many are carried.
    """

    def __init__(self, flow: StarFlowModel, solver: Solver, window: Window) -> None:
        self.frames, self.overlap = window.frames, window.overlap
        self.cost = Cost()
        self._flow, self._solver = flow, solver
        self._past: deque[Tensor] = deque(maxlen=window.overlap)
        self._held: list[tuple[BlockPredictor, SequenceOrder]] = []
        self._grid = Grid(0, 0)

    def carry(self, history: Sequence[Tensor]) -> list[Tensor]:
        """u of the last frames of x, (B, N, C) each, as the frames of a new beginning."""
        for predictor, _ in self._held:
            predictor.restart()
        if not self._past:
            return []
        tokens = torch.stack(list(self._past), dim=1)
        for predictor, order in self._held:
            slots = order.to_slots(tokens, self._grid)
            params = predictor.propose(slots)
            predictor.commit(slots)
            self.cost += Cost(evaluations=1, tokens=slots.shape[1])
            tokens = order.to_frames(params.normalize(slots), len(self._past), self._grid)
        return list(tokens.unbind(1))

    def __call__(self, frames: Frames) -> Frames:
        for u in one_by_one(frames):
            grid, tokens = self._flow.grid(u), self._flow.to_tokens(u)
            self._grid = grid
            self._held = self._held or self._predictors(grid, u.device)
            for predictor, order in reversed(self._held):
                slots, spent = self._solver.solve(predictor, order.to_slots(tokens, grid))
                tokens = order.to_frames(slots, 1, grid)
                self.cost += spent
            self._past.append(tokens[:, 0])
            yield self._flow.to_latents(tokens, grid)

    def _predictors(
        self, grid: Grid, device: torch.device
    ) -> list[tuple[BlockPredictor, SequenceOrder]]:
        """One for each block, with room for the window; from the data towards the noise."""
        shallow = cast(SequenceShallow, self._flow.shallow)
        return [
            (
                BlockPredictor(block, shallow.sequence_positions(block, self.frames, grid, device)),
                order,
            )
            for block, order in shallow.sequence_steps()
        ]


@dataclass
class WaitingShallow(ShallowStage):
    """u -> x of a whole clip, as soon as all of u is there."""

    def __call__(self, frames: Frames) -> Frames:
        return super().__call__(gather(frames))


class ShallowHalf(Protocol):
    """A stage that counts its cost."""

    cost: Cost

    def __call__(self, frames: Frames) -> Frames:
        """u -> x."""


class Arrangement(Protocol):
    """How the shallow blocks of a model are arranged, and how it is sampled then."""

    name: str

    def arrange(self, flow: StarFlowModel) -> None:
        """Give a model this arrangement, in place."""

    def clips(self, num_frames: int, trained: int) -> Iterator[int]:
        """The pixel frames of the clips that a video is made of, one after the other."""

    def sampler(
        self, flow: StarFlowModel, solver: Solver, window: Window
    ) -> tuple[ShallowHalf, Window]:
        """The stage from u to x, and the window of the deep block before it."""


class GlobalLocal:
    """Each frame by itself: the model as it is."""

    name = "global_local"

    def arrange(self, flow: StarFlowModel) -> None:
        """Nothing to do."""

    def clips(self, num_frames: int, trained: int) -> Iterator[int]:
        yield num_frames

    def sampler(
        self, flow: StarFlowModel, solver: Solver, window: Window
    ) -> tuple[ShallowHalf, Window]:
        return ShallowStage(flow, solver), window


class CausalSequence:
    """Over the whole video, frames always in order: causal, so it streams too."""

    name = "causal_sequence"

    def arrange(self, flow: StarFlowModel) -> None:
        flow.shallow = SequenceShallow(flow.shallow, [Forwards] * len(flow.shallow.blocks))

    def clips(self, num_frames: int, trained: int) -> Iterator[int]:
        yield num_frames

    def sampler(
        self, flow: StarFlowModel, solver: Solver, window: Window
    ) -> tuple[ShallowHalf, Window]:
        rolling = RollingShallow(flow, solver, window)
        return rolling, rolling


class TwoWaySequence:
    """Over the whole video, frames in order in every other block and backwards in the rest.

    The block before the deep one runs backwards, so that neighbouring blocks run in exactly
    opposite orders. Its u depends on later frames: no frame of x is known before all of u, and
    known frames have no u to commit, so a clip can be neither streamed nor continued. A long video
    is a row of clips of the trained length.
    """

    name = "two_way_sequence"

    def arrange(self, flow: StarFlowModel) -> None:
        last = len(flow.shallow.blocks) - 1
        orders = [Forwards if (last - index) % 2 else Backwards for index in range(last + 1)]
        flow.shallow = SequenceShallow(flow.shallow, orders)

    def clips(self, num_frames: int, trained: int) -> Iterator[int]:
        while num_frames > 0:
            yield min(trained, num_frames)
            num_frames -= trained

    def sampler(
        self, flow: StarFlowModel, solver: Solver, window: Window
    ) -> tuple[ShallowHalf, Window]:
        return WaitingShallow(flow, solver), window


ARRANGEMENTS: tuple[Arrangement, ...] = (GlobalLocal(), CausalSequence(), TwoWaySequence())
