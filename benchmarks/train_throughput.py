"""How fast training is: a step against a bare transformer, float32, and the machine's matmuls.

    python benchmarks/train_throughput.py [--steps 4] [--rounds 3] [--batch-size 32]

The step is the trainer's own: noise, tokens, flow, two backward passes, denoiser, clipping,
optimizers, averages. The bare transformer has the layers, widths and sequences of flow, denoiser
and text encoder, and does nothing but forward and backward in the same precision: with our layers
but no positions (`bare_transformer_ratio`), or with torch's own (`torch_transformer_ratio`). Ratios
are speeds: 1 is as fast. MFU counts the matrix products of the passes, none of the optimizers',
against products of 2048x2048 matrices in the same precision.

The contestants take turns, so that whatever else the machine does meets them all, and medians are
compared. With one thread (the default) times are those of the CPU, else those of the clock.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from report import environment, print_report
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from starflow_v.config import load_config, to_dictionary
from starflow_v.data.buckets import Bucket, Size
from starflow_v.data.latent_cache import LatentBatch
from starflow_v.nn.attention import CAUSAL, FULL, Mask
from starflow_v.nn.rope import Rotary
from starflow_v.nn.transformer import Transformer
from starflow_v.text import embed_tokens
from starflow_v.training.engine.memory import keep_freed_memory
from starflow_v.training.engine.recipe import Share
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.flow import FlowBatch, FlowRecipe
from starflow_v.training.flow_settings import FlowSettings

CONFIG = Path(__file__).parents[1] / "configs/embedded.yaml"
WIDE = ["flow.shallow_width=512", "flow.deep_width=512", "denoiser.width=512"]
SHAPES: dict[str, list[str]] = {"embedded": [], "width_512": WIDE}
CAPTION = "a big red circle moves up and left on a gray background"
CEILING = 2048
SEED = 0

Contestant = Callable[[], list[float]]
"""Takes some steps; returns their seconds."""


def main() -> None:
    """Measure, print a table for each width, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    results = {}
    for name, changes in SHAPES.items():
        common = [f"batch_size={options.batch_size}", f"trainer.threads={options.threads}"]
        results[name] = measure([*common, *changes], steps=options.steps, rounds=options.rounds)
        print(f"\n{name}")
        for key, value in results[name].items():
            print(f"{key:28}  {value}")
    print_report(
        "train_throughput",
        settings=vars(options) | {"config": CONFIG.name, "width_512": WIDE},
        environment=environment(None, device="cpu", dtype="bfloat16", seed=SEED),
        results=results["embedded"] | {"width_512": results["width_512"]},
    )


def measure(changes: list[str], *, steps: int, rounds: int) -> dict[str, Any]:
    """All numbers of one shape."""
    ours = SyntheticRecipe(settings(changes))
    contestants: dict[str, Contestant] = {
        "step": lambda: train(changes, steps),
        "adamw": lambda: train([*changes, "muon_lr=null"], steps),
        "float32": lambda: train([*changes, "trainer.precision='no'"], steps),
        "bare": lambda: run_bare(bare_stacks(ours, OurLayers), ours, steps),
        "torch": lambda: run_bare(bare_stacks(ours, TorchLayers), ours, steps),
        "ceiling": lambda: multiply(torch.bfloat16, steps),
        "ceiling32": lambda: multiply(torch.float32, steps),
    }
    runs: dict[str, list[float]] = {name: [] for name in contestants}
    peak = 0
    for _ in range(rounds):
        for name, contestant in contestants.items():
            runs[name] += contestant()
            if name == "step":
                peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = {name: median(times) for name, times in runs.items()}
    ceiling = 2 * CEILING**3 / seconds["ceiling"]
    return {
        "tokens_per_second": ours.tokens / seconds["step"],
        "mfu": ours.flops() / seconds["step"] / ceiling,
        "bare_transformer_ratio": seconds["bare"] / seconds["step"],
        "torch_transformer_ratio": seconds["torch"] / seconds["step"],
        "float32_ratio": seconds["float32"] / seconds["step"],
        "peak_bytes": peak,
        "adamw_bare_transformer_ratio": seconds["bare"] / seconds["adamw"],
        "matmul_float32_ratio": seconds["ceiling32"] / seconds["ceiling"],
        "matmul_flops_per_second": ceiling,
        "seconds": seconds,
        "runs": runs,
    }


def settings(changes: list[str], *more: str) -> FlowSettings:
    """The embedded model's, changed."""
    return load_config(FlowSettings, CONFIG, [*changes, *more])


class SyntheticRecipe(FlowRecipe):
    """The recipe on random latents; it looks at the clock whenever a step begins."""

    def __init__(self, settings: FlowSettings) -> None:
        super().__init__(settings)
        data, factor = settings.data, self.codec.temporal_factor
        side = self.codec.spatial_factor
        shape = (1 + (data.num_frames - 1) // factor, self.codec.channels)
        self.latents = torch.randn(
            settings.batch_size, *shape, data.height // side, data.width // side
        )
        self.begun: list[float] = []

    @property
    def frames(self) -> int:
        """T."""
        return self.latents.shape[1]

    @property
    def per_frame(self) -> int:
        """N."""
        return self.latents.shape[3] * self.latents.shape[4] // self.settings.flow.patch_size**2

    @property
    def tokens(self) -> int:
        """Video tokens in a batch."""
        return len(self.latents) * self.frames * self.per_frame

    def batches(self, shares: Iterable[Share]) -> Iterator[FlowBatch]:
        data = self.settings.data
        bucket = Bucket("video", Size(data.height, data.width))
        for share in shares:
            self.begun.append(clock())
            seeds = [[SEED, share.step, number] for number in share.samples]
            captions = [CAPTION] * len(seeds)
            batch = LatentBatch(bucket=bucket, latents=self.latents, captions=captions)
            yield self.prepare(batch, seeds)

    def evaluate(self, step: int, folder: Path) -> Mapping[str, float]:
        return {}

    def flops(self) -> int:
        """Floating-point operations of the matrix products in all passes of a step."""
        batch = next(self.batches([Share(step=0, samples=range(len(self.latents)))]))
        modules = {name: part.module for name, part in self.parts.items()}
        with FlopCounterMode(display=False) as counter:
            self.backward(modules, batch, lambda loss: loss.backward())
        return int(counter.get_total_flops())


def train(changes: list[str], steps: int) -> list[float]:
    """Steps of a new run, the first one (which allocates) left out."""
    with tempfile.TemporaryDirectory() as folder:
        more = [f"trainer.folder={folder}", f"trainer.steps={steps + 2}", "trainer.log_every=1000"]
        recipe = SyntheticRecipe(settings(changes, *more))
        described = to_dictionary(recipe.settings)
        Trainer(recipe, recipe.settings.trainer, description=described).run()
    return [after - before for before, after in pairwise(recipe.begun[1:])]


class OurLayers(nn.Module):
    """Our transformer without positions."""

    def __init__(self, width: int, layers: int, head_dim: int, *, mask: Mask) -> None:
        super().__init__()
        self.mask = mask
        self.transformer = Transformer(width, layers=layers, head_dim=head_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        return self.transformer(x, Still(torch.empty(0)), self.mask)


class Still(Rotary):
    """Positions that turn nothing."""

    def rotate(self, queries: Tensor) -> Tensor:
        return queries

    def rotate_keys(self, keys: Tensor) -> Tensor:
        return keys


class TorchLayers(nn.Module):
    """torch's own transformer, in the same form."""

    def __init__(self, width: int, layers: int, head_dim: int, *, mask: Mask) -> None:
        super().__init__()
        self.causal = mask.causal
        layer = nn.TransformerEncoderLayer(
            width,
            width // head_dim,
            dim_feedforward=4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        return self.transformer(x, mask=mask, is_causal=self.causal)


def bare_stacks(
    recipe: SyntheticRecipe, layers: type[OurLayers] | type[TorchLayers]
) -> list[tuple[nn.Module, Tensor]]:
    """Each network's layers without what is before and behind them, and what goes in."""
    shape, denoiser = recipe.settings.flow, recipe.settings.denoiser
    batch, per_frame = len(recipe.latents), recipe.per_frame
    length = recipe.settings.text.length + recipe.frames * per_frame
    stacks = [
        (
            layers(shape.shallow_width, count, shape.head_dim, mask=CAUSAL),
            torch.randn(batch * recipe.frames, per_frame, shape.shallow_width, requires_grad=True),
        )
        for count in shape.shallow_layers
    ]
    stacks.append(
        (
            layers(shape.deep_width, shape.deep_layers, shape.head_dim, mask=CAUSAL),
            torch.randn(batch, length, shape.deep_width, requires_grad=True),
        )
    )
    stacks.append(
        (
            layers(denoiser.width, denoiser.layers, denoiser.head_dim, mask=FULL),
            torch.randn(batch, length, denoiser.width, requires_grad=True),
        )
    )
    return stacks


def run_bare(
    stacks: list[tuple[nn.Module, Tensor]], recipe: SyntheticRecipe, steps: int
) -> list[float]:
    """Forward and backward of the stacks and of the text encoder."""
    captions = recipe.text.prepare([CAPTION] * len(recipe.latents))
    times = []
    for _ in range(steps + 1):
        begun = clock()
        for stack, x in stacks:
            with torch.autocast("cpu", torch.bfloat16):
                out = stack(x)
            out.float().square().mean().backward()
            stack.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = embed_tokens(recipe.text_encoder, captions["ids"], captions["mask"])
        out.float().square().mean().backward()
        recipe.text_encoder.zero_grad()
        times.append(clock() - begun)
    return times[1:]


def multiply(dtype: torch.dtype, steps: int) -> list[float]:
    """The product of two large matrices."""
    one, other = (torch.randn(CEILING, CEILING).to(dtype) for _ in range(2))
    times = []
    for _ in range(steps + 1):
        begun = clock()
        one @ other
        times.append(clock() - begun)
    return times[1:]


def clock() -> float:
    """Seconds of this thread's CPU if it works alone, else of the clock."""
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


if __name__ == "__main__":
    main()
