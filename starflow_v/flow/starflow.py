"""STARFlow-V: an invertible map between a video x and noise z (arXiv 2511.20462).

    x --shallow, each frame by itself--> u --deep, causal over all frames--> z ~ N(0, I)

    log p(x | text) = Σ log N(z; 0, I) + log |du/dx| + log |dz/du|

*forward* is x -> z, *inverse* is z -> x. An image is a video of one frame (STARFlow, TARFlow).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from starflow_v.flow.block import FlowBlock
from starflow_v.flow.checks import check_context_noise, check_prefix, check_text, check_times
from starflow_v.flow.deep import DeepFlow
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.likelihood import token_log_prob
from starflow_v.flow.order import order_of
from starflow_v.flow.outputs import FlowOutput, Solution
from starflow_v.flow.patches import Grid, patch_grid, patchify, unpatchify
from starflow_v.flow.shallow import ShallowFlow
from starflow_v.flow.solver import Cost, SequentialSolver, Solver
from starflow_v.flow.texts import Later, Reader
from starflow_v.flow.window import Window
from starflow_v.nn.storage import CacheStorage
from starflow_v.nn.transformer import set_recompute


class StarFlowModel(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """The flow of STARFlow-V and its family. The defaults are the released 7B model.

    Args:
        in_channels: c, channels of the latents.
        patch_size: side of the square of latents that makes a token.
        shallow_width: width of the shallow blocks' transformers.
        deep_width: width of the deep block's transformer.
        shallow_layers: layers of each shallow block, from the data towards the noise.
        deep_layers: layers of the deep block.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings; `None` for a model without text.
        reference_size: R of the rotary positions, see `starflow_v.nn.rope`.
        soft_clip: limit of the raw affine parameters.
        shallow_groups: groups per frame of the shallow blocks (2: a coupling layer), or `None`.
        deep_groups: groups per frame of the deep block (1: frame-causal), or `None`.
        shallow_order: in which order the shallow blocks run through a frame, "raster",
            "coarse_to_fine" or "dilated"; every other block begins at the other end.
        deep_order: the same of the deep block.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ("TransformerLayer",)
    _repeated_blocks = ("TransformerLayer",)
    _skip_layerwise_casting_patterns = ("norm",)
    _group_offload_block_modules = ("shallow", "deep", "block", "transformer")

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 48,
        patch_size: int = 1,
        shallow_width: int = 3072,
        deep_width: int = 4096,
        shallow_layers: Sequence[int] = (2, 2, 2, 2, 2),
        deep_layers: int = 24,
        head_dim: int = 64,
        text_dim: int | None = 2048,
        reference_size: float = 32.0,
        soft_clip: float = 4.0,
        shallow_groups: int | None = None,
        deep_groups: int | None = None,
        shallow_order: str = "raster",
        deep_order: str = "raster",
    ) -> None:
        super().__init__()
        channels = in_channels * patch_size**2
        self.shallow = ShallowFlow(
            [
                FlowBlock(channels, shallow_width, layers=n, head_dim=head_dim, limit=soft_clip)
                for n in shallow_layers
            ],
            [order_of(shallow_order, index) for index in range(len(shallow_layers))],
            groups=shallow_groups,
            reference=reference_size,
        )
        deep = FlowBlock(
            channels,
            deep_width,
            layers=deep_layers,
            head_dim=head_dim,
            text_dim=text_dim,
            limit=soft_clip,
        )
        order = order_of(deep_order, len(shallow_layers))
        self.deep = DeepFlow(deep, order, groups=deep_groups, reference=reference_size)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the backward pass recomputes activations, see `enable_gradient_checkpointing`."""
        return self.deep.block.transformer.recompute

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, enabled: bool) -> None:
        set_recompute(self, enabled)

    def set_cache_storage(self, storage: CacheStorage) -> None:
        """How sampling keeps keys and values from now on, see `starflow_v.nn.storage`."""
        self.deep.storage = self.shallow.storage = storage

    def forward(
        self,
        x: Tensor,
        text: Tensor | None = None,
        return_dict: bool = True,
        *,
        return_between: bool = False,
        times: Tensor | None = None,
        context_noise: Tensor | None = None,
        window: Window | None = None,
        restart_text: Tensor | None = None,
    ) -> FlowOutput | tuple[Any, ...]:
        """x -> z, teacher-forced: every token at once.

        Args:
            x: latents, (B, T, c, h, w).
            text: text embeddings, (B, L, E); `None` for a model without text.
            return_dict: `False` returns the tuple (z, log_det), with `between` if wanted.
            return_between: also return what each shallow block made.
            times: index of each latent frame in its video, (T,), where some are left out; `None`:
                0 .. T-1.
            context_noise: (B, blocks, T, c, h, w), the deep block's last: added, in units of their
                standard deviation, to the earlier tokens that each block reads, not to those that
                it maps. For training, see `flow.context_noise`.
            window: restarts the deep block where `solve` would; `None`: it holds all T frames.
            restart_text: embeddings from the first restart on; `None`: the same as before.

        Returns:
            z and log_det, both in float32 (float64 for float64 inputs).
        """
        grid = self.grid(x)
        check_text(text, batch=x.shape[0], width=self.config["text_dim"])
        check_times(times, x.shape[1])
        check_context_noise(context_noise, x, blocks=len(self.shallow.blocks) + 1)
        made: list[Tensor] = []
        each = () if context_noise is None else context_noise.unbind(1)
        noises = [self.to_tokens(noise) for noise in each]
        u, local = self.shallow(self.to_tokens(x), grid, made, noises[:-1])
        if window is None:
            tokens, overall = self.deep(u, text, grid, times, noises[-1] if noises else None)
        elif times is not None or context_noise is not None:
            raise ValueError(
                "a window holds all frames of its chunk as they are: give it, or times and "
                "context_noise, not both"
            )
        else:
            tokens, overall = self.deep.in_windows(u, text, grid, window, restart_text)
        z = self.to_latents(tokens, grid)
        log_det = (local.to(overall.device) + overall).unflatten(-1, (grid.rows, grid.columns))
        between = tuple(made) if return_between else None
        output = FlowOutput(z=z, log_det=log_det, between=between)
        return output if return_dict else output.to_tuple()

    def log_prob(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """log p(x | text) of each video, (B,), in nats. Arguments as `forward`."""
        z, log_det = self(x, text, return_dict=False)
        return token_log_prob(z, log_det).flatten(1).sum(1)

    def inverse(
        self,
        noise: Tensor,
        text: Tensor | None = None,
        *,
        null_text: Tensor | None = None,
        guidance: Guidance | None = None,
        prefix: Tensor | None = None,
        window: Window | None = None,
        solver: Solver | None = None,
    ) -> Tensor:
        """z -> x, (B, T, c, h, w): the latents of `solve`, which has the same arguments.

        No gradient flows through it.
        """
        return self.solve(
            noise,
            text,
            null_text=null_text,
            guidance=guidance,
            prefix=prefix,
            window=window,
            solver=solver,
        ).latents

    @torch.no_grad()
    def solve(
        self,
        noise: Tensor,
        text: Tensor | None = None,
        *,
        null_text: Tensor | None = None,
        guidance: Guidance | None = None,
        prefix: Tensor | None = None,
        window: Window | None = None,
        solver: Solver | None = None,
    ) -> Solution:
        """z -> x, with what it cost. No gradient flows through it.

        Args:
            noise: z, (B, T, c, h, w).
            text: text embeddings, (B, L, E); `None` for a model without text.
            null_text: embeddings of the empty or negative prompt, for guidance.
            guidance: a rule for the deep block; `None` or an inactive one: conditional sampling.
            prefix: known latents (B, P, c, h, w) that take the place of the first P frames.
            window: restarts the deep block when it is full; `None`: it holds all T frames.
            solver: `SequentialSolver()` if `None`.
        """
        solver = solver or SequentialSolver()
        tokens = noise.shape[1] * self.grid(noise).tokens
        frames, known = noise.shape[1], 0
        if prefix is not None:
            check_prefix(prefix, noise)
            known = prefix.shape[1]
        if known > frames:
            raise ValueError(f"a prefix of {known} frames is longer than the noise's {frames}")
        deep, shallow, u = Cost(), Cost(), []
        for frame, cost in self.solve_deep(
            (noise[:, t : t + 1] for t in range(known, frames)),
            text,
            frames=frames,
            null_text=null_text,
            guidance=guidance,
            prefix=prefix,
            window=window,
            solver=solver,
        ):
            u.append(frame)
            deep += cost
        latents = [] if prefix is None else [prefix.to(noise.device)]
        if u:
            made, shallow = self.solve_shallow(torch.cat(u, dim=1), solver)
            latents.append(made)
        return Solution(
            latents=torch.cat(latents, dim=1),
            evaluations={"deep": deep.evaluations, "shallow": shallow.evaluations},
            passes={"deep": deep.tokens / tokens, "shallow": shallow.tokens / tokens},
            residual=max(deep.residual, shallow.residual),
            converged=deep.converged and shallow.converged,
        )

    @torch.no_grad()
    def solve_deep(
        self,
        noise: Iterable[Tensor],
        text: Tensor | None,
        *,
        frames: int,
        solver: Solver,
        null_text: Tensor | None = None,
        guidance: Guidance | None = None,
        prefix: Tensor | None = None,
        window: Window | None = None,
        restart: Later | None = None,
    ) -> Iterator[tuple[Tensor, Cost]]:
        """z -> u frame by frame, each (B, 1, c, h, w) as soon as it stands, with its cost.

        Args:
            noise: the frames of z after the prefix, (B, 1, c, h, w) each.
            frames: how many frames there are in all, prefix included.
            restart: what is told later, and when; a `Texts` is told from the window's first
                restart on; `None`: the same as before.

        The other arguments are those of `solve`.
        """
        stream = iter(noise)
        first = next(stream, None)
        if first is None:
            return
        self._wake()  # after whatever made the noise: under offload one model is awake at a time
        grid = self.grid(first)
        check_text(text, batch=first.shape[0], width=self.config["text_dim"])
        known = None
        if prefix is not None:
            check_prefix(prefix, first)
            known = self.forward_shallow(prefix.to(first.device))
        predictor = self.deep.predictor(
            text,
            grid,
            frames=frames if window is None else min(frames, window.frames),
            device=first.device,
            null_text=null_text,
            guidance=guidance,
        )
        reader = Reader(restart, guidance, batch=first.shape[0], width=self.config["text_dim"])
        tokens = (self.to_tokens(z)[:, 0] for z in chain([first], stream))
        for u, cost in self.deep.solve_frames(
            tokens, grid, predictor, solver, prefix=known, window=window, reader=reader
        ):
            yield self.to_latents(u[:, None], grid), cost

    @torch.no_grad()
    def forward_shallow(self, x: Tensor) -> Tensor:
        """Known x, (B, T, c, h, w) -> tokens of u, (B, T, N, C): what the deep block commits."""
        self._wake()
        u, _ = self.shallow(self.to_tokens(x), self.grid(x))
        return u.to(x.device)

    @torch.no_grad()
    def solve_shallow(self, u: Tensor, solver: Solver) -> tuple[Tensor, Cost]:
        """u -> x, (B, k, c, h, w), for any number of frames side by side."""
        self._wake()
        grid = self.grid(u)
        tokens, cost = self.shallow.solve(self.to_tokens(u), grid, solver)
        return self.to_latents(tokens, grid), cost

    def grid(self, latents: Tensor) -> Grid:
        """The tokens of a frame of latents (B, T, c, h, w), whose shape is checked here."""
        return patch_grid(latents, self.config["in_channels"], self.config["patch_size"])

    def to_tokens(self, latents: Tensor) -> Tensor:
        """(B, T, c, h, w) -> (B, T, N, C), patches laid out as (row, column, channel)."""
        return patchify(latents, self.config["patch_size"])

    def to_latents(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The inverse of `to_tokens`."""
        return unpatchify(tokens, grid, self.config["patch_size"])

    @apply_forward_hook
    def _wake(self) -> None:
        """Bring the parameters to their device under model offload; otherwise nothing."""


StarFlowModel.__module__ = "starflow_v"
