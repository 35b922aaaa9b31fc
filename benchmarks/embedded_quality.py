"""How good the embedded model is, measured on scenes it was never trained on.

    python benchmarks/embedded_quality.py [--captions 200] [--model FOLDER]
    python benchmarks/embedded_quality.py --only stills

Captions: the share of clips in which colour, shape, motion and background are as told, read back
from the pixels. Stills: the same of images without motion, and shape by shape. Codec: PSNR, and the
share of clips whose shape can still be read after encoding and decoding. Likelihood: bits per
latent dimension of the noised latents. Denoising: PSNR against the clean latents (peak: their
range) without it, by one step along the flow's score, and by the network.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from report import environment, print_report
from torch import Generator, Tensor

from starflow_v import ScoreDenoiser, StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.data.pixels import from_unit, to_clips, to_frames
from starflow_v.data.scenes import (
    Attributes,
    SceneStream,
    StreamSettings,
    TaskWeights,
    canonical_caption,
)
from starflow_v.evaluation.scene_checker import check, read_scene
from starflow_v.training.flow_report import ATTRIBUTES, held_out_captions
from starflow_v.training.objectives import bits_per_dimension, negative_log_likelihood

SEED = 1000
NAMES = {"color": "colour"}


def main() -> None:
    """Measure, print a table, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--stills", type=int, default=200, help="images from captions")
    parser.add_argument("--only", choices=["stills"], help="measure nothing else")
    parser.add_argument("--clips", type=int, default=200, help="clips for codec and likelihood")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--temperature", type=float, default=1.0, help="of the noise")
    parser.add_argument("--model", type=Path, default=embedded_model())
    options = parser.parse_args()
    pipe = StarFlowVPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    told = {"guidance_scale": options.guidance, "temperature": options.temperature}
    results: dict[str, object] = {"stills": still_accuracy(pipe, options.stills, **told)}
    if options.only is None:
        results |= caption_accuracy(pipe, options.captions, **told)
        scenes = held_out_scenes(pipe, options.clips)
        results |= codec_quality(pipe, scenes) | latent_quality(pipe, scenes)
    for name, value in results.items():
        print(f"{name:16}  {value}")
    print_report(
        "embedded_quality",
        settings={
            "captions": options.captions,
            "clips": options.clips,
            "stills": options.stills,
            "guidance": pipe.defaults.guidance_scale
            if options.guidance is None
            else options.guidance,
            "temperature": options.temperature,
        },
        environment=environment(options.model, device="cpu", dtype="float32", seed=SEED),
        results=results,
    )


def caption_accuracy(
    pipe: StarFlowVPipeline, count: int, *, batch: int = 10, **options: object
) -> dict[str, float]:
    """The share of clips right in each attribute and in all four; `options` are the call's."""
    captions = held_out_captions(count, seed=SEED)
    verdicts = []
    for first in range(0, count, batch):
        some = captions[first : first + batch]
        generators = [Generator().manual_seed(SEED + first + index) for index in range(len(some))]
        made = pipe(some, generator=generators, **options)
        pixels = from_unit(np.asarray(made.frames))
        verdicts += [check(clip, caption) for clip, caption in zip(pixels, some, strict=True)]
    return {
        NAMES.get(name, name): float(np.mean([getattr(it, name) is not False for it in verdicts]))
        for name in ATTRIBUTES
    }


def still_accuracy(
    pipe: StarFlowVPipeline, count: int, *, batch: int = 20, **options: object
) -> dict[str, object]:
    """The share of images right in each attribute; of each shape the share that can be told.
    `options` are the call's.

    "drawn" is what the reader makes of the true images of the captions: the best there can be.
    """
    settings = StreamSettings(
        two_objects=0.0, tasks=TaskWeights(video=0, image=1, extend=0, last=0, v2v=0)
    )
    stream = SceneStream(SEED, settings, held_out=True)
    samples = [stream.sample(index) for index in range(count)]
    captions = [canonical_caption(sample.scene, moving=False) for sample in samples]
    made: list[np.ndarray] = []
    for first in range(0, count, batch):
        some = captions[first : first + batch]
        generators = [Generator().manual_seed(SEED + first + index) for index in range(len(some))]
        images = pipe(some, num_frames=1, generator=generators, **options).frames
        made.extend(from_unit(np.asarray(images)))
    shapes = [sample.scene.objects[0].shape for sample in samples]
    shares = rightly_shown(made, captions, shapes)
    return {**shares, "drawn": rightly_shown([it.frames for it in samples], captions, shapes)}


def rightly_shown(
    clips: list[np.ndarray], captions: list[str], shapes: list[str]
) -> dict[str, object]:
    """The share right in colour, shape, background, in all of them, and in each shape's own."""
    verdicts = [check(clip, caption) for clip, caption in zip(clips, captions, strict=True)]
    names = ("color", "shape", "background", "all")
    right = {name: [getattr(it, name) is not False for it in verdicts] for name in names}
    by_shape = {
        shape: float(
            np.mean([it for it, own in zip(right["shape"], shapes, strict=True) if own == shape])
        )
        for shape in sorted(set(shapes))
    }
    return {**{name: float(np.mean(told)) for name, told in right.items()}, "by_shape": by_shape}


def held_out_scenes(pipe: StarFlowVPipeline, count: int) -> list[tuple[np.ndarray, str]]:
    """Clips and their canonical captions."""
    size = pipe.defaults
    stream = SceneStream(
        SEED + 1,
        StreamSettings(
            num_frames=size.num_frames,
            height=size.height,
            width=size.width,
            fps=size.frame_rate,
            tasks=TaskWeights(video=1, image=0, extend=0, last=0, v2v=0),
        ),
        held_out=True,
    )
    samples = [stream.sample(index) for index in range(count)]
    return [(sample.frames, canonical_caption(sample.scene)) for sample in samples]


@torch.no_grad()
def codec_quality(
    pipe: StarFlowVPipeline, scenes: list[tuple[np.ndarray, str]], *, batch: int = 20
) -> dict[str, float]:
    """PSNR of reconstructions, mean over clips, and the share whose main shape is still read."""
    errors, readable = [], []
    for first in range(0, len(scenes), batch):
        clips = [clip for clip, _ in scenes[first : first + batch]]
        decoded = pipe.codec.decode(pipe.codec.encode(to_frames(clips)))
        pixels = to_clips(decoded)
        for clip, copy in zip(clips, pixels, strict=True):
            mean_square = np.square(clip.astype(float) - copy).mean()
            errors.append(10 * np.log10(255**2 / mean_square))
            readable.append(_shape(read_scene(clip)) == _shape(read_scene(copy)))
    return {"codec_psnr": float(np.mean(errors)), "codec_readable": float(np.mean(readable))}


def _shape(seen: Attributes) -> str | None:
    return seen.shape


def latent_quality(
    pipe: StarFlowVPipeline, scenes: list[tuple[np.ndarray, str]], *, batch: int = 20
) -> dict[str, object]:
    """Bits per latent dimension of the noised latents, and PSNR of denoising them."""
    sigma = pipe.config["noise_std"]
    denoisers = {"score": ScoreDenoiser(pipe.flow, sigma), "fsm": pipe.denoiser}
    bits, clean_latents, errors = [], [], {"none": [], "score": [], "fsm": []}
    for first in range(0, len(scenes), batch):
        clips, captions = zip(*scenes[first : first + batch], strict=True)
        with torch.no_grad():
            clean = pipe.codec.encode(to_frames(clips))
            text, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
            noise = torch.randn(clean.shape, generator=Generator().manual_seed(SEED + first))
            x = clean + sigma * noise
            z, log_det = pipe.flow(x, text, return_dict=False)
            bits.append(bits_per_dimension(negative_log_likelihood(z, log_det)))
        clean_latents.append(clean)
        errors["none"].append(_square(x, clean))
        for name, denoiser in denoisers.items():
            with torch.no_grad():
                errors[name].append(_square(denoiser.denoise(x, text), clean))
    every = torch.cat(clean_latents)
    peak = float(every.max() - every.min())
    return {
        "bits_per_dim": float(torch.cat(bits).mean()),
        "denoiser_psnr": {
            name: 10 * float(np.log10(peak**2 / np.mean(values))) for name, values in errors.items()
        },
    }


def _square(estimate: Tensor, clean: Tensor) -> float:
    return float((estimate - clean).square().mean())


if __name__ == "__main__":
    main()
