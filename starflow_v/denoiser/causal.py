"""Flow-score matching (STARFlow-V, arXiv 2511.20462): a network that has learned the flow's score.

Its output is sigma²/0.3 · ∂NLL/∂x, so by Tweedie's formula x - 0.3 · output is clean. It sees past
and few later frames: each layer is a stage on the stream of frames, with a cache of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from einops import rearrange
from torch import Tensor, nn

from starflow_v.flow.checks import check_text, check_times
from starflow_v.flow.patches import Grid, patch_grid, patchify, unpatchify
from starflow_v.nn.attention import FULL, Mask
from starflow_v.nn.cache import AS_THEY_COME, RingCache
from starflow_v.nn.layers import RMSNorm
from starflow_v.nn.rope import Rotary, rotary, text_positions, video_positions
from starflow_v.nn.storage import CacheStorage
from starflow_v.nn.transformer import Transformer, set_recompute

SCORE_UNIT = 0.3
"""The network's output times this is sigma² ∂NLL/∂x, whatever sigma is."""


class CausalDenoiser(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """A transformer over text and frames that looks one frame ahead in its first layers.

    In a layer that looks ahead, a token of frame q attends to the text and to frames
    q+1-window .. q+1; in the others to frames q+1-window .. q. Text attends as frame 0 does. What
    the layers look ahead adds up: frame t depends on frames up to t + `lookahead`.

    The defaults are the released 7B model's denoiser.

    Args:
        in_channels: c, channels of the latents.
        patch_size: side of the square of latents that makes a token.
        width: D, width of the transformer.
        layers: number of layers.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings; `None` for a model without text.
        reference_size: R of the rotary positions, see `starflow_v.nn.rope`.
        window: frames attended to, see above.
        lookahead_layers: how many layers, from the first on, look ahead; `None`: all.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ("TransformerLayer",)
    _repeated_blocks = ("TransformerLayer",)
    _skip_layerwise_casting_patterns = ("norm",)
    _group_offload_block_modules = ("input", "text_input", "transformer", "norm", "output")

    @register_to_config
    def __init__(
        self,
        *,
        in_channels: int = 48,
        patch_size: int = 1,
        width: int = 3072,
        layers: int = 8,
        head_dim: int = 64,
        text_dim: int | None = 2048,
        reference_size: float = 32.0,
        window: int = 10,
        lookahead_layers: int | None = None,
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window={window} is not valid: give at least 1 frame")
        if lookahead_layers is not None and not 0 <= lookahead_layers <= layers:
            raise ValueError(f"lookahead_layers={lookahead_layers} is not in 0 .. {layers}")
        channels = in_channels * patch_size**2
        self.input = nn.Linear(channels, width)
        self.text_input = None if text_dim is None else nn.Linear(text_dim, width)
        self.transformer = Transformer(width, layers=layers, head_dim=head_dim)
        self.norm = RMSNorm(width)
        self.output = nn.Linear(width, channels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self._storage: CacheStorage = AS_THEY_COME

    def set_cache_storage(self, storage: CacheStorage) -> None:
        """How streams keep keys and values from now on, see `starflow_v.nn.storage`."""
        self._storage = storage

    @property
    def lookahead(self) -> int:
        """How many frames the cleaned frame lies behind the newest one."""
        layers = self.config["lookahead_layers"]
        return len(self.transformer.layers) if layers is None else layers

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether the backward pass recomputes activations, see `enable_gradient_checkpointing`."""
        return self.transformer.recompute

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, enabled: bool) -> None:
        set_recompute(self, enabled)

    def forward(
        self,
        x: Tensor,
        text: Tensor | None = None,
        return_dict: bool = True,
        *,
        times: Tensor | None = None,
    ) -> Tensor | tuple[Tensor]:
        """sigma²/0.3 · ∂NLL/∂x as learned, all frames at once.

        Args:
            x: noisy latents, (B, T, c, h, w).
            text: text embeddings, (B, L, E); `None` for a denoiser without text.
            return_dict: `False` returns a tuple, as diffusers' models do; the output of this one is
                a single tensor, so there is no dictionary otherwise.
            times: index of each latent frame in its video, (T,), where some are left out; `None`:
                0 .. T-1.

        Returns:
            (B, T, c, h, w), in the dtype of the model.
        """
        grid, frames, words = self._grid(x), x.shape[1], self._words(text, x.shape[0])
        hidden = rearrange(self.input(self._to_tokens(x)), "b t n d -> b (t n) d")
        length = 0
        if words is not None:
            length = words.shape[1]
            hidden = torch.cat((words, hidden), dim=1)
        check_times(times, frames)
        times = torch.arange(frames) if times is None else times
        masks = self._masks(length, times, grid.tokens, x.device)
        table = self._rotary(grid, x.device, times, length)
        hidden = self.transformer(hidden, table, masks)[:, length:]
        tokens = rearrange(self.output(self.norm(hidden)), "b (t n) c -> b t n c", t=frames)
        output = self._to_latents(tokens, grid)
        return output if return_dict else (output,)

    def denoise(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """Cleaned latents, (B, T, c, h, w), all frames at once. Arguments as `forward`."""
        return x - SCORE_UNIT * self(x, text).to(x)

    @torch.no_grad()
    def denoise_frames(
        self, frames: Iterable[Tensor], text: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Cleaned latents frame by frame, `lookahead` frames behind; the same as `denoise`.

        Each layer is a stage on the stream of frames with a cache of the window, so the work per
        frame does not grow. Positions do: begin a new stream when they leave what was trained.

        Args:
            frames: noisy latents, (B, 1, c, h, w) each.
            text: text embeddings, (B, L, E).

        Yields:
            Cleaned latents, (B, 1, c, h, w) each.
        """
        stream = iter(frames)
        first = next(stream, None)
        if first is None:
            return
        self._wake()  # after the flow that made it: under offload one model is awake at a time
        grid, words = self._grid(first), self._words(text, first.shape[0])
        noisy = deque[Tensor]()
        length = 0 if words is None else words.shape[1]

        def embed() -> Iterator[_State]:
            for index, x in enumerate(chain([first], stream)):
                noisy.append(x)
                tokens = self.input(self._to_tokens(x))[:, 0]
                if index == 0 and words is not None:
                    tokens = torch.cat((words, tokens), dim=1)
                front = length if index == 0 else 0
                yield _State(tokens, self._rotary(grid, x.device, torch.tensor([index]), front))

        states = embed()
        for depth, layer in enumerate(self.transformer.layers):
            ahead = int(depth < self.lookahead)
            cache = RingCache(
                head=length,
                tokens=grid.tokens,
                past=self.config["window"],
                ahead=ahead,
                storage=self._storage,
            )
            states = _layer_stage(layer, states, cache)
        for state in states:
            tokens = self.output(self.norm(state.hidden[:, -grid.tokens :]))
            x = noisy.popleft()
            yield x - SCORE_UNIT * self._to_latents(tokens[:, None], grid).to(x)

    @apply_forward_hook
    def _wake(self) -> None:
        """Bring the parameters to their device under model offload; otherwise nothing."""

    def _words(self, text: Tensor | None, batch: int) -> Tensor | None:
        check_text(text, batch=batch, width=self.config["text_dim"])
        if text is None or self.text_input is None:
            return None
        return self.text_input(text.to(self.norm.weight.dtype))

    def _rotary(self, grid: Grid, device: torch.device, times: Tensor, length: int) -> Rotary:
        """Positions of the frames at `times` (T,), those of the text in front."""
        reference = self.config["reference_size"]
        positions = video_positions(len(times), *grid, reference=reference, times=times)
        words = text_positions(length, reference=reference)
        return rotary(torch.cat((words, positions)).to(device), self.config["head_dim"])

    def _masks(self, length: int, times: Tensor, tokens: int, device: torch.device) -> list[Mask]:
        """Each layer's mask over the text's slots and the tokens of the frames at `times` (T,)."""
        frame = times.to(device).repeat_interleave(tokens)
        query = torch.cat((frame.new_zeros(length), frame))[:, None]
        key = torch.cat((frame.new_full((length,), -1), frame))
        recent = (key < 0) | (key > query - self.config["window"])
        rest = len(self.transformer.layers) - self.lookahead
        masks: list[Mask] = []
        for ahead, layers in ((1, self.lookahead), (0, rest)):
            if layers:  # a mask is large: those of no layer are not made
                masks += [Mask.only(recent & (key <= query + ahead))] * layers
        return masks

    def _grid(self, latents: Tensor) -> Grid:
        return patch_grid(latents, self.config["in_channels"], self.config["patch_size"])

    def _to_tokens(self, latents: Tensor) -> Tensor:
        return patchify(latents.to(self.norm.weight.dtype), self.config["patch_size"])

    def _to_latents(self, tokens: Tensor, grid: Grid) -> Tensor:
        return unpatchify(tokens, grid, self.config["patch_size"])


CausalDenoiser.__module__ = "starflow_v"


class _State(NamedTuple):
    """A frame between two layers: hidden (B, S, D), with the text in front in the first frame."""

    hidden: Tensor
    rotary: Rotary


def _layer_stage(layer: nn.Module, frames: Iterator[_State], cache: RingCache) -> Iterator[_State]:
    """One layer over a stream of frames; one that looks ahead waits for the next frame."""
    current = next(frames, None)
    while current is not None:
        following = next(frames, None) if cache.ahead else None
        pair = [current] if following is None else [current, following]
        hidden = torch.cat([state.hidden for state in pair], dim=1)
        table = Rotary(torch.cat([state.rotary.turn for state in pair]))
        hidden = layer(hidden, table, FULL, cache)
        cache.commit_frame()
        yield _State(hidden[:, : current.hidden.shape[1]], current.rotary)
        current = following if cache.ahead else next(frames, None)
