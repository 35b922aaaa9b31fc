"""The released model written down naively: one sample, loops, float64, no cache, no batch.

It follows the description of the golden values and shares no code with the package. A model is its
state dict under the released names and its arguments. `x`, `u`, `z` are (T, c, h, w) outside and
lists of frames (N, C) inside; `text` is (L, E).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor

Attends = Callable[[int], list[int]]
"""The slots that a slot attends to."""


def random_state(arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """A released state dict of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def draw(name: str, *shape: int, mean: float = 0.0) -> None:
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        state[name] = mean + noise * (0.8 / shape[-1] ** 0.5 if len(shape) == 2 else 0.2)

    def linear(name: str, into: int, out: int) -> None:
        draw(f"{name}.weight", out, into)
        draw(f"{name}.bias", out)

    def network(name: str, width: int, layers: int, out: int, text: int) -> None:
        linear(f"{name}.proj_in", channels, width)
        linear(f"{name}.proj_out", width, out)
        draw(f"{name}.final_norm.weight", width)
        if text:
            linear(f"{name}.proj_txt", text, width)
        for i in range(layers):
            part = f"{name}.attn_blocks.{i}"
            linear(f"{part}.attention.qkv", width, 3 * width)
            linear(f"{part}.attention.proj", width, width)
            linear(f"{part}.mlp.main.0", width, 4 * width)
            linear(f"{part}.mlp.main.2", 4 * width, width)
            for norm in ("attention", "mlp"):
                draw(f"{part}.{norm}.norm.weight", width, mean=1.0)
                draw(f"{part}.{norm}.norm.bias", width)

    channels = arguments["in_channels"] * arguments["patch_size"] ** 2
    last = arguments["num_blocks"] - 1
    for i, layers in enumerate(arguments["layers_per_block"]):
        width = arguments["top_block_channels"] if i == last else arguments["channels"]
        text = arguments["txt_dim"] if i == last else 0
        network(f"blocks.{i}", width, layers, 2 * channels, text)
        draw(f"blocks.{i}.sos_embed", 1, 1, channels)
    if arguments.get("learnable_self_denoiser"):
        text = arguments["txt_dim"] if arguments["conditional_denoiser"] else 0
        network("learnable_self_denoiser", arguments["channels"], 8, channels, text)
    return state


class Model(NamedTuple):
    """A released model of frames of `rows` x `columns` tokens."""

    state: Mapping[str, Tensor]
    arguments: Mapping[str, Any]
    rows: int
    columns: int

    def to_frames(self, x: Tensor) -> list[Tensor]:
        p = self.arguments["patch_size"]
        return list(rearrange(x, "t c (h p) (w q) -> t (h w) (p q c)", p=p, q=p))

    def to_latents(self, frames: list[Tensor]) -> Tensor:
        pattern, p = "t (h w) (p q c) -> t c (h p) (w q)", self.arguments["patch_size"]
        return rearrange(torch.stack(frames), pattern, h=self.rows, p=p, q=p)

    def forward(self, x: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log |dz/dx| of each token (T, rows, columns)."""
        frames, log_det = self.to_frames(x), torch.zeros(len(x), self.rows * self.columns).double()
        last = self.arguments["num_blocks"] - 1
        for i in range(last + 1):
            groups = [frames] if i == last else [[frame] for frame in frames]
            done, scales = [], []
            for group in groups:
                mu, sigma = self.affine(i, group, text if i == last else None)
                done += [(f - m) / s for f, m, s in zip(group, mu, sigma, strict=True)]
                scales += sigma
            frames = done
            log_det = log_det - torch.stack(scales).log().sum(-1)
        return self.to_latents(frames), log_det.reshape(len(x), self.rows, self.columns)

    def inverse(
        self,
        z: Tensor,
        text: Tensor,
        *,
        null_text: Tensor | None = None,
        weight: float = 0.0,
        prefix: Tensor | None = None,
        window: tuple[int, int] | None = None,
    ) -> Tensor:
        """x, token after token; `window` is (frames, overlap)."""
        last = self.arguments["num_blocks"] - 1
        u = [] if prefix is None else self._shallow_forward(prefix)
        known, held = len(u), list(u)
        for frame in self.to_frames(z)[known:]:
            if window is not None and len(held) == window[0]:
                held = u[len(u) - window[1] :]
            u.append(self._solve(last, frame, held, text, null_text, weight))
            held.append(u[-1])
        made = []
        for frame in u[known:]:
            for i in reversed(range(last)):
                frame = self._solve(i, frame, [], None, None, 0.0)
            made.append(frame)
        return self.to_latents(([] if prefix is None else self.to_frames(prefix)) + made)

    def denoiser(self, x: Tensor, text: Tensor | None) -> Tensor:
        """The raw output, with the mask of the window in all 8 layers."""
        frames, name = self.to_frames(x), "learnable_self_denoiser"
        length, tokens = 0 if text is None else len(text), self.rows * self.columns
        window = self.arguments["denoiser_window"]

        def attends(slot: int) -> list[int]:
            words = list(range(length))
            if slot < length:
                seen = [0, 1]
            else:
                q = (slot - length) // tokens
                seen = list(range(q + 1 - window, q + 2))
            seen = [t for t in seen if 0 <= t < len(frames)]
            return words + [length + t * tokens + n for t in seen for n in range(tokens)]

        out = self._network(name, torch.cat(frames), text, attends)
        return self.to_latents(list(out.split(tokens)))

    def affine(
        self, i: int, frames: list[Tensor], text: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """mu and sigma of every frame in raster order, all tokens known."""
        slots = torch.cat([self._order(i, frame) for frame in frames])
        before = torch.cat((self.state[f"blocks.{i}.sos_embed"][0], slots[:-1]))
        out = self._network(f"blocks.{i}", before, text, lambda slot: list(range(slot + 1)))
        clip = self.arguments["soft_clip"]
        a, mu = (clip * torch.tanh(out / clip)).chunk(2, dim=-1)
        sigma = torch.log(1 + torch.exp(a + 0.541324854612918))
        tokens = self.rows * self.columns
        return (
            [self._order(i, frame) for frame in mu.split(tokens)],
            [self._order(i, frame) for frame in sigma.split(tokens)],
        )

    def _shallow_forward(self, x: Tensor) -> list[Tensor]:
        frames = self.to_frames(x)
        for i in range(self.arguments["num_blocks"] - 1):
            pairs = [self.affine(i, [frame], None) for frame in frames]
            frames = [(f - m[0]) / s[0] for f, (m, s) in zip(frames, pairs, strict=True)]
        return frames

    def _solve(
        self,
        i: int,
        z: Tensor,
        held: list[Tensor],
        text: Tensor | None,
        null_text: Tensor | None,
        w: float,
    ) -> Tensor:
        """One frame of block i's input behind those held; later tokens are zero as yet."""
        x = torch.zeros_like(z)
        for n in self._order(i, torch.arange(len(z))[:, None]).flatten().tolist():
            mus, sigmas = self.affine(i, [*held, x], text)
            mu, sigma = mus[-1][n], sigmas[-1][n]
            if w:
                mus, sigmas = self.affine(i, [*held, x], null_text)
                s = torch.minimum(sigma / sigmas[-1][n], torch.ones_like(sigma)) ** 2
                mu = ((1 + w) * mu - w * s * mus[-1][n]) / (1 + w - w * s)
                sigma = sigma / torch.sqrt(1 + w - w * s)
            x[n] = mu + sigma * z[n]
        return x

    def _order(self, i: int, frame: Tensor) -> Tensor:
        """Raster order <-> the order of block i: its own inverse."""
        return frame if i % 2 else frame.flip(0)

    def _network(self, name: str, x: Tensor, text: Tensor | None, attends: Attends) -> Tensor:
        """Linear in, text in front, transformer layers, norm, linear out, without the text."""
        length, w = 0 if text is None else len(text), self.state
        hidden = self._linear(f"{name}.proj_in", x)
        if text is not None:
            hidden = torch.cat((self._linear(f"{name}.proj_txt", text), hidden))
        angles = self._angles(length, len(x))
        i = 0
        while f"{name}.attn_blocks.{i}.attention.qkv.weight" in w:
            part = f"{name}.attn_blocks.{i}"
            hidden = hidden + self._attention(f"{part}.attention", hidden, angles, attends)
            up = self._linear(f"{part}.mlp.main.0", self._layer_norm(f"{part}.mlp.norm", hidden))
            gelu = up * (1 + torch.erf(up / math.sqrt(2))) / 2
            hidden = hidden + self._linear(f"{part}.mlp.main.2", gelu)
            i += 1
        hidden = hidden[length:]
        hidden = hidden / torch.sqrt((hidden**2).mean(-1, keepdim=True) + 1e-6)
        return self._linear(f"{name}.proj_out", hidden * (1 + w[f"{name}.final_norm.weight"]))

    def _attention(self, name: str, x: Tensor, angles: Tensor, attends: Attends) -> Tensor:
        d = self.arguments["head_dim"]
        q, k, v = self._linear(f"{name}.qkv", self._layer_norm(f"{name}.norm", x)).chunk(3, dim=-1)
        heads = []
        for h in range(0, x.shape[1], d):
            query, key = rotate(q[:, h : h + d], angles), rotate(k[:, h : h + d], angles)
            rows = []
            for slot in range(len(x)):
                seen = attends(slot)
                attention = (key[seen] @ query[slot] / math.sqrt(d)).softmax(0)
                rows.append(attention @ v[seen, h : h + d])
            heads.append(torch.stack(rows))
        return self._linear(f"{name}.proj", torch.cat(heads, dim=1))

    def _angles(self, length: int, count: int) -> Tensor:
        """Each slot's angles (slots, d/2): those of its row, its column, its time."""
        side, r = math.sqrt(self.rows * self.columns), self.arguments["pt_seq_len"]
        places = [(0.0, 0.0, word / length * r) for word in range(length)]
        for slot in range(count):
            t, n = divmod(slot, self.rows * self.columns)
            i, j = divmod(n, self.columns)
            places.append((i / side * r, j / side * r, float(t)))
        half = self.arguments["head_dim"] // 2 - 8
        space = [10000 ** (-2 * k / half) for k in range(half // 2)]
        time = [10000 ** (-k / 8) for k in range(8)]
        table = [
            [row * f for f in space] + [column * f for f in space] + [t * f for f in time]
            for row, column, t in places
        ]
        return torch.tensor(table, dtype=torch.float64)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Each interleaved pair (2k, 2k+1) of x (S, d) by angle k."""
    out = torch.empty_like(x)
    for k in range(x.shape[1] // 2):
        cos, sin = angles[:, k].cos(), angles[:, k].sin()
        out[:, 2 * k] = x[:, 2 * k] * cos - x[:, 2 * k + 1] * sin
        out[:, 2 * k + 1] = x[:, 2 * k] * sin + x[:, 2 * k + 1] * cos
    return out
