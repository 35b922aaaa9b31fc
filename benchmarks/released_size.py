"""A checkpoint of the released 7B model's layout, converted, loaded and run on this machine.

    python benchmarks/released_size.py [--deep-layers 2] [--dtype bfloat16] [--folder DIR]

The weights are random and the layers fewer (about 2 GB in bfloat16); names, widths and heads are
the 7B model's. A tiny VAE and a tiny text encoder of the right widths are made, too. Each step runs
in a process of its own, so that its peak of memory is its own: see `memory` for what is counted.
Needs Linux and about 5 GB of disk.
"""

import argparse
import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from memory import PeakMemory
from report import environment, print_report
from torch import Generator

from starflow_v import StarFlowVPipeline
from starflow_v.checkpoints.description import ModelDescription, read_description
from starflow_v.checkpoints.folder import SHARD_BYTES, Surroundings, convert_checkpoint
from starflow_v.checkpoints.names import names_of
from starflow_v.text import tiny_text_encoder

CONFIG = Path(__file__).parents[1] / "configs" / "starflow_v_7b_480p.yaml"
SEED = 0
FRAMES, HEIGHT, WIDTH = 5, 64, 64
"""Of the clip that is made: two latent frames of 16 tokens."""


def main() -> None:
    """Run the steps, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deep-layers", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16", help="of the converted folder")
    parser.add_argument("--source-dtype", default="bfloat16", help="of the checkpoint")
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: /tmp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        sizes = (folder, options.deep_layers)
        results = alone(make_checkpoint, *sizes, options.source_dtype)
        results |= alone(convert, *sizes, options.dtype)
        results |= alone(load, folder, options.dtype)
        results |= alone(generate, folder, options.dtype)
        where = environment(folder / "model", device="cpu", dtype=options.dtype, seed=SEED)
    for name, value in results.items():
        print(f"{name:26}  {value}")
    settings = {
        "deep_layers": options.deep_layers,
        "source_dtype": options.source_dtype,
        "frames": FRAMES,
        "height": HEIGHT,
        "width": WIDTH,
        "shard_bytes": SHARD_BYTES,
    }
    print_report("released_size", settings=settings, environment=where, results=results)


def alone(step: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a step returns, from a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(step, *arguments).result()


def small_7b(deep_layers: int) -> ModelDescription:
    """The 7B model with one layer in each shallow block and in the denoiser."""
    whole = read_description(CONFIG)
    assert whole.flow is not None and whole.denoiser is not None
    return dataclasses.replace(
        whole,
        flow=dataclasses.replace(whole.flow, shallow_layers=[1] * 5, deep_layers=deep_layers),
        denoiser=dataclasses.replace(whole.denoiser, layers=1),
    )


def make_checkpoint(folder: Path, deep_layers: int, dtype: str) -> dict[str, Any]:
    """Random weights under the released names, and the parts beside them."""
    generator = Generator().manual_seed(SEED)
    flow, denoiser = small_7b(deep_layers).models()
    assert denoiser is not None
    state = {
        theirs: torch.empty(weights[ours].shape, dtype=getattr(torch, dtype)).normal_(
            0, 0.02, generator=generator
        )
        for model, weights in ((model, model.state_dict()) for model in (flow, denoiser))
        for ours, theirs in names_of(model).items()
    }
    torch.save(state, folder / "checkpoint.pth")
    torch.manual_seed(SEED)
    make_vae().save_pretrained(folder / "parts" / "vae")
    width = int(flow.config["text_dim"])
    text_encoder, tokenizer = tiny_text_encoder(["a red circle"], width=width, layers=1, heads=32)
    text_encoder.save_pretrained(folder / "parts" / "text_encoder")
    tokenizer.save_pretrained(folder / "parts" / "tokenizer")
    parameters = sum(tensor.numel() for tensor in state.values())
    return {
        "parameters": parameters,
        "checkpoint_bytes": (folder / "checkpoint.pth").stat().st_size,
    }


def make_vae() -> AutoencoderKLWan:
    """Wan2.2's form, 16x in space and 48 channels of latents, but narrow."""
    return AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=48,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
    )


def convert(folder: Path, deep_layers: int, dtype: str) -> dict[str, Any]:
    """The checkpoint and its parts -> a pipeline's folder."""
    parts = str(folder / "parts")
    start = time.perf_counter()
    with PeakMemory() as peak:
        convert_checkpoint(
            folder / "checkpoint.pth",
            small_7b(deep_layers),
            folder / "model",
            dtype=getattr(torch, dtype),
            surroundings=Surroundings(vae=parts, text_encoder=parts),
        )
    return {
        "convert_seconds": time.perf_counter() - start,
        "convert_peak_bytes": peak.anonymous,
        "convert_resident_bytes": peak.resident,
        "model_bytes": weight_bytes(folder / "model"),
    }


def load(folder: Path, dtype: str) -> dict[str, Any]:
    """`from_pretrained`, then one reading of every weight, so that all are in memory."""
    size = weight_bytes(folder / "model")
    start = time.perf_counter()
    with PeakMemory() as peak:
        pipe = from_folder(folder, dtype)
        seconds = time.perf_counter() - start
        for part in (pipe.flow, pipe.denoiser, pipe.vae, pipe.text_encoder):
            for parameter in part.parameters():
                parameter.sum()
    return {
        "load_seconds": seconds,
        "load_peak_bytes": peak.resident,
        "load_peak_ratio": peak.resident / size,
        "load_anonymous_ratio": peak.anonymous / size,
    }


def generate(folder: Path, dtype: str) -> dict[str, Any]:
    """A short clip from a prompt."""
    pipe = from_folder(folder, dtype)
    start = time.perf_counter()
    with PeakMemory() as peak:
        frames = pipe(
            "a red circle",
            num_frames=FRAMES,
            height=HEIGHT,
            width=WIDTH,
            generator=Generator().manual_seed(SEED),
        ).frames
    assert frames.shape == (1, FRAMES, HEIGHT, WIDTH, 3)
    return {
        "generate_seconds": time.perf_counter() - start,
        "generate_peak_bytes": peak.resident,
    }


def from_folder(folder: Path, dtype: str) -> StarFlowVPipeline:
    """The converted pipeline."""
    pipe = StarFlowVPipeline.from_pretrained(folder / "model", torch_dtype=getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def weight_bytes(folder: Path) -> int:
    """Bytes of all safetensors."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


if __name__ == "__main__":
    main()
