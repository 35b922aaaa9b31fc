"""Causal flow matching for video: each frame follows its own ODE, given clean frames before it.

Training shows the network clean frames and noisy ones side by side (teacher forcing): noisy frame t
sees the text, the clean frames before it, and itself. Sampling makes frame after frame with the
keys of the clean ones in a cache; both compute the same velocity. The transformer, its positions
and its text are those of the flow's deep block; an image is a video of one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from starflow_v.baselines.frame_velocity import FrameVelocity
from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Integrator
from starflow_v.baselines.velocity_block import VelocityBlock, teacher_forcing
from starflow_v.flow.checks import check_text
from starflow_v.flow.patches import Grid, patch_grid, patchify, unpatchify
from starflow_v.flow.solver import Cost
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import Window
from starflow_v.nn.rope import Rotary, rotary, text_positions, video_positions
from starflow_v.nn.transformer import set_recompute


class CausalVelocityModel(ModelMixin, ConfigMixin):
    """v(t, x) of each frame, given text and past frames.

    Args:
        in_channels: c, channels of the latents.
        patch_size: side of the square of latents that makes a token.
        width: D, width of the transformer.
        layers: number of layers.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings; `None` for a model without text.
        reference_size: R of the rotary positions, see `starflow_v.nn.rope`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ("TransformerLayer",)
    _repeated_blocks = ("TransformerLayer",)
    _skip_layerwise_casting_patterns = ("norm", "time")

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 48,
        patch_size: int = 1,
        width: int = 192,
        layers: int = 6,
        head_dim: int = 64,
        text_dim: int | None = 128,
        reference_size: float = 4.0,
    ) -> None:
        super().__init__()
        channels = in_channels * patch_size**2
        self.block = VelocityBlock(
            channels, width, layers=layers, head_dim=head_dim, text_dim=text_dim
        )

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the backward pass recomputes activations, see `enable_gradient_checkpointing`."""
        return self.block.transformer.recompute

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, enabled: bool) -> None:
        set_recompute(self, enabled)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        clean: Tensor,
        text: Tensor | None = None,
        return_dict: bool = True,
    ) -> Tensor | tuple[Tensor]:
        """Velocities of all frames at once, teacher-forced.

        Args:
            x: frames on their ways, (B, T, c, h, w).
            t: the time of each, (B, T).
            clean: the video itself, like x; its last frame is not looked at.
            text: text embeddings, (B, L, E); `None` for a model without text.
            return_dict: `False` returns a tuple, as diffusers' models do.

        Returns:
            (B, T, c, h, w), float32 or better.
        """
        grid, frames = self._grid(x), x.shape[1]
        if t.shape != x.shape[:2] or clean.shape != x.shape:
            raise ValueError(
                f"frames of shape {tuple(x.shape)} need clean frames of that shape and times of "
                f"shape {tuple(x.shape[:2])}, got {tuple(clean.shape)} and {tuple(t.shape)}"
            )
        check_text(text, batch=x.shape[0], width=self.config["text_dim"])
        length = 0 if text is None else text.shape[1]
        past = clean[:, : frames - 1]
        tokens = torch.cat((self._to_tokens(past), self._to_tokens(x)), dim=1)
        times = torch.cat((t.new_ones(past.shape[:2]), t), dim=1)
        velocity = self.block(
            tokens,
            times,
            self._forced_positions(frames, text, grid, x.device),
            mask=teacher_forcing(length, frames, grid.tokens, x.device),
            text=text,
        )
        output = self._to_latents(velocity[:, frames - 1 :], grid)
        return output if return_dict else (output,)

    @torch.no_grad()
    def solve_frames(
        self,
        noise: Iterable[Tensor],
        texts: Texts,
        *,
        frames: int,
        integrator: Integrator,
        guidance: VelocityGuidance | None = None,
        window: Window | None = None,
        restart: Texts | None = None,
    ) -> Iterator[tuple[Tensor, Cost]]:
        """Noise frame by frame -> clean latents frame by frame, each as soon as it stands.

        Args:
            noise: frames (B, 1, c, h, w).
            texts: what the frames are told; guidance needs both texts.
            frames: how many come, at most.
            integrator: how each frame's ODE is solved.
            guidance: a rule for the velocity; `None` or an inactive one: conditional sampling.
            window: forget all but some frames when it is full; `None`: never. Its `carry` is given
                frames of tokens, (B, N, C).
            restart: what is told from the first restart on; `None`: as before.

        Yields:
            (B, 1, c, h, w), and what it cost, the commits before it included.
        """
        stream = iter(noise)
        first = next(stream, None)
        if first is None:
            return
        self._wake()
        grid = self._grid(first)
        text = texts.for_predictor(guidance)
        capacity = frames if window is None else min(frames, window.frames)
        positions = self._positions(capacity, text, grid, first.device)
        velocity = FrameVelocity(
            self.block, positions, tokens=grid.tokens, text=text, guidance=guidance
        )
        history = deque[Tensor](maxlen=window.overlap if window else 0)
        again = None if restart is None else restart.for_predictor(guidance)
        waiting: list[Tensor] = []
        inside = 0
        for current in chain([first], stream):
            if inside + len(waiting) == capacity:
                assert window is not None, "more frames than were announced"
                velocity.restart(again)
                waiting, inside, again = window.carry(list(history)), 0, None
            for frame in waiting:
                velocity.commit(frame)
            inside += len(waiting)
            end, evaluations = integrator(velocity, self._to_tokens(current)[:, 0])
            calls = evaluations + len(waiting)
            history.append(end)
            waiting = [end]
            yield self._to_latents(end[:, None], grid), Cost(calls, calls * grid.tokens)

    @apply_forward_hook
    def _wake(self) -> None:
        """Bring the parameters to their device under model offload; otherwise nothing."""

    def _positions(
        self, frames: int, text: Tensor | None, grid: Grid, device: torch.device
    ) -> Rotary:
        """Positions of the text's slots, then of each frame's tokens."""
        reference = self.config["reference_size"]
        words = text_positions(0 if text is None else text.shape[1], reference=reference)
        video = video_positions(frames, *grid, reference=reference)
        return rotary(torch.cat((words, video)).to(device), self.block.head_dim)

    def _forced_positions(
        self, frames: int, text: Tensor | None, grid: Grid, device: torch.device
    ) -> Rotary:
        """Those of text, clean and noisy frames: a clean frame stands where the noisy one does."""
        table = self._positions(frames, text, grid, device).turn
        noisy = table[len(table) - frames * grid.tokens :]
        return Rotary(torch.cat((table[: len(table) - grid.tokens], noisy)))

    def _grid(self, latents: Tensor) -> Grid:
        return patch_grid(latents, self.config["in_channels"], self.config["patch_size"])

    def _to_tokens(self, latents: Tensor) -> Tensor:
        return patchify(latents, self.config["patch_size"])

    def _to_latents(self, tokens: Tensor, grid: Grid) -> Tensor:
        return unpatchify(tokens, grid, self.config["patch_size"])


CausalVelocityModel.__module__ = "starflow_v"
