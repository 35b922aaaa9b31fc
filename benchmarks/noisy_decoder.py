"""Three ways from noisy latents to a clean picture, measured in pixels.

    starflow-v train-vae configs/embedded_vae_noisy.yaml --noisy 0.15
    python benchmarks/noisy_decoder.py --decoder runs/embedded_vae_noisy/vae

Clips of held-out scenes are encoded, noised as the flow's samples are noisy, and decoded: as they
are; by a decoder that was fine-tuned on noisy latents (STARFlow); after one step along the flow's
own score (TARFlow); after the network of flow-score matching (STARFlow-V). Without noise is the
best there can be. PSNR against the clips, and the share of clips whose shape can still be read.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from embedded_quality import SEED, held_out_scenes
from report import environment, print_report
from torch import Generator, Tensor

from starflow_v import ScoreDenoiser, StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import to_clips, to_frames
from starflow_v.evaluation.scene_checker import read_scene
from starflow_v.training.vae.reconstruction import psnr
from starflow_v.vae import codec_for

BATCH = 10
Decode = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Clean and noisy latents (B,T,c,h,w), text (B,L,E) -> frames (B,F,3,H,W)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--decoder", type=Path, help="a fine-tuned VAE with the same encoder")
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipe = StarFlowVPipeline.from_pretrained(options.model)
    scenes = held_out_scenes(pipe, options.clips)
    results = {
        name: measure(pipe, scenes, decode) for name, decode in ways(pipe, options.decoder).items()
    }
    for name, told in results.items():
        print(f"{name:10} {told['psnr']:.2f} dB, {told['readable']:.1%} readable")
    about = environment(options.model, device="cpu", dtype="float32", seed=SEED)
    settings = {key: str(value) for key, value in vars(options).items()}
    print_report("noisy_decoder", settings=settings, environment=about, results=results)


def ways(pipe: StarFlowVPipeline, decoder: Path | None) -> dict[str, Decode]:
    """Name -> how latents become frames."""
    plain = pipe.codec.decode
    score = ScoreDenoiser(pipe.flow, pipe.config["noise_std"])
    made: dict[str, Decode] = {
        "no_noise": lambda clean, noisy, text: plain(clean),
        "as_it_is": lambda clean, noisy, text: plain(noisy),
        "score": lambda clean, noisy, text: plain(score.denoise(noisy, text)),
        "fsm": lambda clean, noisy, text: plain(pipe.denoiser.denoise(noisy, text)),
    }
    if decoder is not None:
        vae = AutoencoderKLWan.from_pretrained(decoder).eval()
        tuned = codec_for(vae, temporal_scale=pipe.config["temporal_scale"])
        made["finetuned"] = lambda clean, noisy, text: tuned.decode(noisy)
    return made


@torch.no_grad()
def measure(
    pipe: StarFlowVPipeline, scenes: list[tuple[np.ndarray, str]], decode: Decode
) -> dict[str, float]:
    """Over all clips, with the same noise for every way."""
    errors, readable = [], []
    for first in range(0, len(scenes), BATCH):
        clips, captions = zip(*scenes[first : first + BATCH], strict=True)
        frames = to_frames(clips)
        clean = pipe.codec.encode(frames)
        generator = Generator().manual_seed(SEED + first)
        noise = torch.randn(clean.shape, generator=generator)
        text, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
        decoded = decode(clean, clean + pipe.config["noise_std"] * noise, text)
        errors += psnr(decoded, frames).tolist()
        shapes = [read_scene(it).shape for it in to_clips(decoded)]
        readable += [
            shape == read_scene(clip).shape for shape, clip in zip(shapes, clips, strict=True)
        ]
    return {"psnr": float(np.mean(errors)), "readable": float(np.mean(readable))}


if __name__ == "__main__":
    main()
