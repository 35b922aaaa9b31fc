"""Draws the pictures of docs/images.md with the models of digits and of scenes.

    python docs/images.py
    python docs/images.py --sampler FOLDER --unconditional FOLDER --stills FOLDER   # those of these
    python docs/images.py --report digits.txt     # the last one, of what benchmarks/digits.py said

digits.png: real test images, samples of every class, and lower halves filled in.
guidance.png: both rules of guidance over the weight, the same noise in every column.
stills.png: images of the embedded model from captions that training never shows, by shape.
digits_samples.png: samples of every class of the model trained on Gaussian noise (--sampler).
unconditional.png: the same noise at several temperatures of attention (--unconditional).
stills_alone.png: the captions of stills.png, by a model of stills alone (--stills).
guidance_weight.svg: the share of samples that is recognised over the weight, by both rules.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from torch import Generator

from starflow_v import DensityGuidance, LinearGuidance, StarFlowPipeline
from starflow_v.assets import digits_model, embedded_model
from starflow_v.data.contact_sheet import contact_sheet
from starflow_v.data.digits import read_digits
from starflow_v.data.pixels import from_unit
from starflow_v.data.scenes import SceneStream, StreamSettings, TaskWeights, canonical_caption

FOLDER = Path(__file__).parent / "images"
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
COLUMNS = 12
INPAINTED, CHAIN = 3, 200
"""Images that are filled in, and proposals of their chains."""
SCALE = 5
HEATS = (0.7, 1.5, 2.0, 4.0)
"""Temperatures of attention."""
STILLS = 10
"""Stills of each shape."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=digits_model())
    parser.add_argument("--sampler", type=Path, help="trained by configs/digits_samples.yaml")
    parser.add_argument("--unconditional", type=Path, help="the same, told nothing")
    parser.add_argument("--stills", type=Path, help="trained by configs/stills.yaml")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    if arguments.report is not None:
        report = json.loads(arguments.report.read_text("utf-8").strip().splitlines()[-1])
        plot_recognised(report["results"]["accuracy_over_weight"])
        return
    others = {
        arguments.sampler: sampler_sheet,
        arguments.unconditional: tempered_sheet,
        arguments.stills: stills_sheet,
    }
    others.pop(None, None)
    for folder, draw in others.items():
        draw(load(folder))
    if others:
        return
    pipe = load(arguments.model)
    save("digits.png", [*real_rows(), *sampled_rows(pipe), *inpainted_rows(pipe)])
    save("guidance.png", guided_rows(pipe))
    save("stills.png", still_rows(load(embedded_model())), columns=STILLS, scale=1)


Rows = list[tuple[str, np.ndarray]]


def load(folder: Path) -> StarFlowPipeline:
    pipe = StarFlowPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sampler_sheet(pipe: StarFlowPipeline) -> None:
    save("digits_samples.png", sampled_rows(pipe))


def tempered_sheet(pipe: StarFlowPipeline) -> None:
    rules = {"no guidance": DensityGuidance(0.0)} | {
        f"w = 1, temperature {heat:g}": DensityGuidance(1.0, temperature=heat) for heat in HEATS
    }
    rows = [(name, made(pipe, [""] * 2 * COLUMNS, guidance=rule)) for name, rule in rules.items()]
    save("unconditional.png", rows, columns=2 * COLUMNS, scale=3)


def stills_sheet(pipe: StarFlowPipeline) -> None:
    save("stills_alone.png", still_rows(pipe), columns=STILLS, scale=1)


def save(name: str, rows: Rows, *, columns: int = COLUMNS, scale: int = SCALE) -> None:
    labels, clips = zip(*rows, strict=True)
    sheet = contact_sheet(list(clips), labels, columns=columns, scale=scale, gap=1, font_size=9)
    Image.fromarray(sheet).save(FOLDER / name)


def made(pipe: StarFlowPipeline, labels: list[int] | list[str], **options: object) -> np.ndarray:
    told = {"labels": labels, "generator": Generator().manual_seed(0), "output_type": "np"}
    return from_unit(np.asarray(pipe(**told, **options).images))


def real_rows() -> Rows:
    return [("real test images", read_digits("test").clips()[:COLUMNS, 0])]


def sampled_rows(pipe: StarFlowPipeline) -> Rows:
    images = made(pipe, [digit for digit in range(10) for _ in range(COLUMNS)])
    groups = images.reshape(10, COLUMNS, *images.shape[1:])
    return [(f"samples of {digit}", group) for digit, group in enumerate(groups)]


def inpainted_rows(pipe: StarFlowPipeline) -> Rows:
    """Real images, their upper halves, and three lower halves each that the flow finds likely."""
    digits, mask = read_digits("test"), np.zeros((8, 8, 3), np.uint8)
    mask[4:] = 255
    shown = []
    for image, label in zip(digits.clips()[:INPAINTED, 0], digits.labels, strict=False):
        told = {"labels": int(label), "num_images": 3, "generator": Generator().manual_seed(0)}
        filled = pipe.inpaint(image, mask, steps=CHAIN, output_type="np", **told).images
        known = np.where(mask > 0, np.uint8(60), image)[None]
        shown.append(np.concatenate([known, from_unit(np.asarray(filled))]))
    return [("upper halves known, lower halves filled in", np.concatenate(shown))]


def guided_rows(pipe: StarFlowPipeline) -> Rows:
    labels = [index % 10 for index in range(COLUMNS)]
    return [
        (f"{name}, w = {weight:g}", made(pipe, labels, guidance=rule(weight)))
        for name, rule in {"density": DensityGuidance, "linear": LinearGuidance}.items()
        for weight in WEIGHTS
    ]


def still_rows(pipe: StarFlowPipeline) -> Rows:
    """Stills of captions, a row for each shape."""
    alone = TaskWeights(video=0, image=1, extend=0, last=0, v2v=0)
    settings = StreamSettings(two_objects=0.0, tasks=alone)
    stream, captions = SceneStream(7, settings, held_out=True), dict[str, list[str]]()
    for index in range(20 * STILLS):
        scene = stream.sample(index).scene
        caption = canonical_caption(scene, moving=False)
        captions.setdefault(scene.objects[0].shape, []).append(caption)
    rows = []
    for shape, told in sorted(captions.items()):
        generator = Generator().manual_seed(0)
        images = pipe(told[:STILLS], generator=generator, output_type="np").images
        rows.append((f"{shape}: {told[0]}, ...", from_unit(np.asarray(images))))
    return rows


def plot_recognised(shares: Mapping[str, Mapping[str, float]]) -> None:
    """Rule -> weight -> share recognised, as lines over the weight."""
    told = {"density": "DensityGuidance (STARFlow)", "linear": "LinearGuidance (TARFlow)"}
    with plt.rc_context({"font.size": 9, "svg.hashsalt": "starflow_v", "svg.fonttype": "path"}):
        figure, axes = plt.subplots(figsize=(5, 2.6), layout="constrained")
        for name, label in told.items():
            weights = sorted(shares[name], key=float)
            shown = [100 * shares[name][weight] for weight in weights]
            axes.plot([float(weight) for weight in weights], shown, marker="o", label=label)
        axes.set(xlabel="weight w", ylabel="recognised, %", ylim=(0, 105))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(FOLDER / "guidance_weight.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
