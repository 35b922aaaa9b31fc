"""Guidance where nothing is told: a model of digits without classes, away from itself.

    starflow-v train configs/digits_samples.yaml 'text.labels=[]' trainer.folder=runs/unconditional
    python benchmarks/unconditional_digits.py --model runs/unconditional/pipeline

The other branch is the same network with the logits of its attention divided by a temperature
(`starflow_v.flow.guidance`). For each rule, weight and temperature:

    readable    share of samples of whose class a logistic regression is surer than 90 %
    precision   share of samples that are as near to a real image as real images are to each other
    recall      share of real images that are as near to a sample as samples are to each other
                (both with the distance to the third neighbour; Kynkäänniemi et al., 1904.06991)

The real images are the test images, of which neither the model nor the classifier has seen any.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from report import environment, print_report
from torch import Generator, Tensor

from starflow_v import DensityGuidance, LinearGuidance, StarFlowPipeline
from starflow_v.data.digits import LEVELS, read_digits

RULES = {"density": DensityGuidance, "linear": LinearGuidance}
NEIGHBOUR = 3
SURE = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.5, 0.8, 1.5, 2.0, 4.0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = StarFlowPipeline.from_pretrained(arguments.model)
    pipe.set_progress_bar_config(disable=True)
    classifier = fit_classifier()
    test = read_digits("test").images
    results = {"real": judge(test, test, classifier)}
    settings = [("none", 0.0, 1.0)] + [
        (name, weight, temperature)
        for name in RULES
        for temperature in arguments.temperatures
        for weight in arguments.weights
    ]
    for name, weight, temperature in settings:
        rule = RULES.get(name, DensityGuidance)(weight, temperature)
        key = f"{name}, weight {weight:g}, temperature {temperature:g}"
        results[key] = judge(sample(pipe, rule, arguments.samples), test, classifier)
        print(f"{key:42} " + "  ".join(f"{it} {x:.3f}" for it, x in results[key].items()))
    about = environment(arguments.model, device="cpu", dtype="float32", seed=0)
    told = {key: str(value) for key, value in vars(arguments).items()}
    print_report("unconditional_digits", settings=told, environment=about, results=results)


def sample(
    pipe: StarFlowPipeline, guidance: DensityGuidance | LinearGuidance, count: int
) -> np.ndarray:
    """Images (n, 8, 8) of levels 0 .. 16, the same noise for every guidance."""
    made = pipe(
        guidance=guidance,
        num_images_per_prompt=count,
        generator=Generator().manual_seed(0),
        output_type="np",
    ).images
    return np.round(made[..., 0] * (LEVELS - 1))


def fit_classifier() -> object:
    """A logistic regression on the real training images."""
    from sklearn.linear_model import LogisticRegression

    train = read_digits("train", "validation")
    return LogisticRegression(max_iter=2000, C=0.02).fit(train.images.reshape(-1, 64), train.labels)


def judge(images: np.ndarray, real: np.ndarray, classifier: object) -> dict[str, float]:
    """The figures of the docstring, and how evenly samples fall on the ten classes (1: evenly)."""
    sure = classifier.predict_proba(images.reshape(-1, 64))  # type: ignore[attr-defined]
    share = np.bincount(sure.argmax(1), minlength=10) / len(images)
    entropy = -float(np.sum(share * np.log(np.maximum(share, 1e-12)))) / np.log(10)
    made, true = (torch.from_numpy(it.reshape(len(it), -1)).float() for it in (images, real))
    return {
        "readable": float((sure.max(1) > SURE).mean()),
        "precision": within(made, true),
        "recall": within(true, made),
        "evenness": entropy,
    }


def within(points: Tensor, others: Tensor) -> float:
    """Share of points (n, d) that lie in the ball of one of the others, its third neighbour's."""
    radius = torch.cdist(others, others).sort(dim=1).values[:, NEIGHBOUR]
    return float((torch.cdist(points, others) <= radius).any(dim=1).float().mean())


if __name__ == "__main__":
    main()
