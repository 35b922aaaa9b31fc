"""Draws the figures of docs/idea.md: python docs/figures.py [--suffix .png] [--folder FOLDER]

spaces   one clip as pixels, x, u and z, and how their values are spread (the embedded model)
masks    who attends to whom in each kind of block (the library's own masks)
jacobi   how far each token is from its answer in every sweep (the embedded model, measured)
stages   which frame each stage holds at which step (from the order of the stages, not measured)
orders   in which order a block runs through the tokens of a frame (the library's own orders)
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Generator, Tensor

from starflow_v import (
    Cost,
    JacobiSolver,
    SequentialSolver,
    SlidingSolver,
    Solver,
    StarFlowVPipeline,
)
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import to_frames
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, canonical_caption
from starflow_v.flow.affine import AffineParams
from starflow_v.flow.order import CoarseToFine, Dilated, Raster, Reversed, TokenOrder
from starflow_v.flow.patches import Grid
from starflow_v.flow.predictor import Predictor

FOLDER = Path(__file__).parent / "images"
SEED = 100
"""Of the stream that the clip is drawn from; it is the first of those kept from training."""
COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3")
"""One a latent frame."""
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "svg.hashsalt": "starflow_v",  # the same figure makes the same file
    "svg.fonttype": "path",
    "figure.dpi": 110,
}


def main() -> None:
    """Draw all figures, or those that are named."""
    figures = {"spaces": spaces, "masks": masks, "jacobi": jacobi, "stages": stages}
    figures["orders"] = orders
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(figures)}; default: all")
    parser.add_argument("--suffix", default=".svg", choices=(".svg", ".png"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    with plt.rc_context(STYLE):
        for name in options.names or figures:
            save(figures[name](), options.folder / f"idea_{name}{options.suffix}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date."""
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, metadata=metadata, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)


@dataclass(frozen=True)
class Example:
    """A clip that the model was never trained on, in all spaces."""

    pipe: StarFlowVPipeline
    clip: NDArray[np.uint8]
    text: Tensor
    x: Tensor
    u: Tensor
    z: Tensor


@torch.no_grad()
def example() -> Example:
    """The first clip of the held-out stream, mapped forwards."""
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    tasks = TaskWeights(video=1, image=0, extend=0, last=0, v2v=0)
    settings = StreamSettings(tasks=tasks, two_objects=0.0)
    sample = SceneStream(SEED, settings, held_out=True).sample(0)
    text, _ = pipe.encode_prompt(canonical_caption(sample.scene))
    clean = pipe.codec.encode(to_frames([sample.frames]))
    noise = torch.randn(clean.shape, generator=Generator().manual_seed(0))
    x = clean + pipe.config["noise_std"] * noise
    output = pipe.flow(x, text, return_between=True)
    grid = pipe.flow.grid(x)
    u = pipe.flow.to_latents(output.between[-1], grid)
    return Example(pipe, sample.frames, text, x, u, output.z)


def spaces() -> Figure:
    """One row a space: five latent frames of a channel, and the histogram of all channels."""
    it = example()
    times = it.x.shape[1]
    figure, axes = plt.subplots(
        4, times + 1, figsize=(8.2, 5.4), width_ratios=[1] * times + [1.9], layout="constrained"
    )
    channel = int(it.x[0].var(dim=(0, 2, 3)).argmax())
    for t in range(times):
        picture(axes[0, t], it.clip[4 * t], f"pixel frame {4 * t}")
    axes[0, -1].axis("off")
    rows = {
        "x, noisy latents": it.x,
        "u, after the shallow blocks": it.u,
        "z, after the deep block": it.z,
    }
    for row, (name, values) in enumerate(rows.items(), start=1):
        for t in range(times):
            picture(axes[row, t], values[0, t, channel].numpy(), f"t = {t}", vmin=-3, vmax=3)
        axes[row, 0].set_ylabel(name.split(",")[0], rotation=0, size=14, labelpad=12, va="center")
        spread(axes[row, -1], values, name)
    return figure


def picture(axes: Axes, values: NDArray[np.generic], title: str, **limits: float) -> None:
    axes.imshow(values, cmap="RdBu_r", interpolation="nearest", **limits)
    axes.set_title(title, size=8)
    axes.set(xticks=[], yticks=[])


def spread(axes: Axes, values: Tensor, name: str) -> None:
    """The histogram of all numbers against the standard normal density."""
    bins = np.linspace(-4, 4, 81)
    axes.hist(values.flatten().numpy(), bins, density=True, color=COLORS[0], alpha=0.6)
    axes.plot(bins, np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi), color=COLORS[3], lw=1)
    axes.set(title=name, yticks=[], xlim=(-4, 4))


def masks() -> Figure:
    """Queries down, keys across; three frames of four tokens, three words in front."""
    words, frames, tokens = 3, 3, 4
    frame = torch.arange(frames).repeat_interleave(tokens)
    slot = torch.arange(words + frames * tokens)
    by_frame = torch.cat((torch.arange(-words, 0), frame))
    token_by_token = slot <= slot[:, None]
    frame_causal = by_frame <= by_frame[:, None]
    alone = torch.arange(frames * tokens)
    shallow = (alone <= alone[:, None]) & (frame[:, None] == frame)
    query, key = by_frame.clamp(min=0)[:, None], by_frame
    denoiser = (key < 0) | (key <= query + 1)
    panels = {
        "shallow block:\neach frame alone, no text": (shallow, 0),
        "deep block:\ntoken by token": (token_by_token, words),
        "deep block, frame-causal\n(deep_groups=1)": (frame_causal, words),
        "denoiser, a layer that\nlooks one frame ahead": (denoiser, words),
    }
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
    for panel, (title, (mask, text)) in zip(axes, panels.items(), strict=True):
        draw_mask(panel, mask, text, tokens)
        panel.set_title(title)
    axes[0].set_ylabel("a slot attends ...")
    axes[0].set_xlabel("... to these")
    return figure


def draw_mask(axes: Axes, mask: Tensor | None, words: int, tokens: int) -> None:
    """Allowed pairs in colour: words gray, tokens in the colour of the frame attended to."""
    assert mask is not None
    size = mask.shape[0]
    image = np.ones((size, size, 3))
    for key in range(size):
        color = "#999999" if key < words else COLORS[(key - words) // tokens]
        rgb = tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        image[mask[:, key].numpy(), key] = rgb
    axes.imshow(image, interpolation="nearest")
    for edge in range(size + 1):
        strong = edge >= words and (edge - words) % tokens == 0
        for line in (axes.axhline, axes.axvline):
            line(edge - 0.5, color="black" if strong else "#dddddd", lw=0.9 if strong else 0.4)
    axes.set(xticks=[], yticks=[])


class Watched:
    """A predictor that notes which guesses it is asked about; all else is another one's."""

    def __init__(self, inner: Predictor, guesses: list[tuple[int, Tensor]]) -> None:
        self._inner, self._guesses, self.start = inner, guesses, 0

    def propose(self, guess: Tensor) -> AffineParams:
        self._guesses.append((self.start, guess.clone()))
        return self._inner.propose(guess)

    def commit(self, tokens: Tensor) -> None:
        self.start += tokens.shape[1]
        self._inner.commit(tokens)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


@dataclass
class Watching:
    """A solver that notes all guesses of another one: (first token, tokens (1, k, C))."""

    solver: Solver
    guesses: list[tuple[int, Tensor]] = field(default_factory=list)

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        return self.solver.solve(Watched(predictor, self.guesses), noise, guess=guess)

    def solve_frames(
        self, predictor: Predictor, noise: Iterable[Tensor], *, guess: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Cost]]:
        return self.solver.solve_frames(Watched(predictor, self.guesses), noise, guess=guess)


def jacobi() -> Figure:
    """Sweeps down, tokens across: the error of every guess, of both solvers."""
    it = example()
    exact = torch.cat([u for u, _ in solve(it, SequentialSolver())], dim=1)
    flow = it.pipe.flow
    slots = flow.deep.order.to_slots(flow.to_tokens(exact), flow.grid(exact))
    answer = rearrange(slots, "1 t n c -> (t n) c")
    solvers: dict[str, Solver] = {
        "JacobiSolver, blocks of 8": JacobiSolver(block_size=8),
        "SlidingSolver, a window of 16": SlidingSolver(span=16),
    }
    swept = {name: errors(it, solver, answer) for name, solver in solvers.items()}
    rows = max(map(len, swept.values()))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for panel, (name, image) in zip(axes, swept.items(), strict=True):
        shown = panel.imshow(image, cmap="viridis", norm=LogNorm(1e-4, 4), aspect="auto")
        for edge in range(0, len(answer) + 1, slots.shape[2]):
            panel.axvline(edge - 0.5, color="black", lw=0.8)
        panel.set(xlabel="token, in the order of the block (lines: frames)", ylim=(rows, -1))
        panel.set_title(f"{name}: {len(image)} sweeps")
    axes[0].set_ylabel("sweep")
    figure.colorbar(shown, label="largest error of a channel before the sweep")
    return figure


def errors(it: Example, solver: Solver, answer: Tensor) -> NDArray[np.floating]:
    """Of each token (columns) before each sweep (rows); NaN outside of what was swept."""
    watching = Watching(solver)
    solve(it, watching)
    image = np.full((len(watching.guesses), len(answer)), np.nan)
    for sweep, (start, guess) in enumerate(watching.guesses):
        error = (guess[0] - answer[start : start + guess.shape[1]]).abs().amax(-1)
        image[sweep, start : start + guess.shape[1]] = error.clamp(min=1e-4)
    return image


def solve(it: Example, solver: Solver) -> list[tuple[Tensor, Cost]]:
    """The deep half of the clip's own noise, conditional."""
    frames = it.z.split(1, dim=1)
    return list(it.pipe.flow.solve_deep(frames, it.text, frames=len(frames), solver=solver))


def stages() -> Figure:
    """Steps across, stages down; a box is a latent frame, its colour tells which."""
    frames, names = 5, ("deep: z to u", "shallow: u to x", "denoise", "decode")
    behind = (0, 0, 1, 1)  # the denoiser waits for the next frame
    streamed = [(s, t + behind[s], t) for t in range(frames) for s in range(4)]
    begins = (0, frames, frames + 1, frames + 2)
    called = [(s, begins[s] + t * (s in (0, 3)), t) for t in range(frames) for s in range(4)]
    figure, axes = plt.subplots(2, 1, figsize=(7.6, 3.6), sharex=True, layout="constrained")
    schedule(axes[0], streamed, names, "stream: a frame is handed on as soon as it can be")
    schedule(axes[1], called, names, "call: stage after stage, each on all frames at once")
    axes[1].set_xlabel("step of the deep block, and what comes after its last one")
    return figure


def schedule(
    axes: Axes, boxes: Sequence[tuple[int, int, int]], names: Sequence[str], title: str
) -> None:
    """Boxes (stage, step, frame); frames of one step and stage share its place."""
    for stage, step, frame in boxes:
        together = sorted(f for s, p, f in boxes if (s, p) == (stage, step))
        width = 1 / len(together)
        left = step + together.index(frame) * width
        axes.barh(-stage, width, left=left, height=0.8, color=COLORS[frame], edgecolor="white")
        axes.text(left + width / 2, -stage, str(frame), ha="center", va="center", color="white")
    axes.set_yticks([-s for s in range(len(names))], names)
    axes.set_xticks(range(0, 13))
    axes.set_title(title, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


def orders() -> Figure:
    """Places of a frame with the slot at which they come, dark ones first."""
    grid = Grid(8, 8)
    kinds: dict[str, TokenOrder] = {
        "raster": Raster(),
        "raster from the end": Reversed(),
        "coarse to fine": CoarseToFine(),
        "dilated": Dilated(),
    }
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
    for panel, (name, order) in zip(axes, kinds.items(), strict=True):
        slots = torch.arange(grid.tokens)[:, None]
        places = order.to_raster(slots, grid)[:, 0].reshape(grid.rows, grid.columns)
        panel.imshow(places, cmap="viridis", interpolation="nearest")
        for (row, column), slot in np.ndenumerate(places.numpy()):
            color = "white" if slot < grid.tokens / 2 else "black"
            panel.text(column, row, str(slot), size=6, ha="center", va="center", color=color)
        panel.set(title=name, xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
