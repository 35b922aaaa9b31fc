"""scikit-learn's digits: bits per dimension beside baselines, and samples that are what they say.

    python benchmarks/digits.py
    python benchmarks/digits.py --model runs/digits/pipeline --sampler runs/digits_samples/pipeline

All models see the same training images, dequantised over their own 17 levels, and are measured on
the same draws of the same test images, which none of them has seen. Flows stop where a validation
part of the training images says. A class-conditional flow knows more than the others, so its
classes are summed out, exactly: p(x) = Σ_y p(x | y) / 10.

What is sampled may be another model than that whose likelihood is told: in the paper one trained on
Gaussian noise, which makes a smooth density, and whose samples are cleaned.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from report import environment, print_report
from torch import Generator, Tensor, nn

from starflow_v import DensityGuidance, LabelEncoder, LinearGuidance, StarFlowPipeline
from starflow_v.assets import digits_model
from starflow_v.data.digits import LEVELS, read_digits
from starflow_v.evaluation.pixel_bits import LogDensity, dequantize, pixel_bits

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=digits_model())
    parser.add_argument("--sampler", type=Path, help="what is sampled, if not the model")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--steps", type=int, default=600, help="of each baseline flow, at most")
    parser.add_argument("--per-class", type=int, default=50)
    parser.add_argument("--no-baselines", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe, sampler = (load(folder or arguments.model) for folder in (None, arguments.sampler))
    densities = {"ours": summed_over_classes(pipe)}
    if not arguments.no_baselines:
        densities |= {name: fit() for name, fit in baselines(arguments.steps).items()}
    bound, tight = {}, {}
    for name, density in densities.items():
        bound[name], tight[name] = measure(density, "test", arguments.draws)
        print(
            f"{name:12} {bound[name]:.3f} bits/dim ({tight[name]:.3f} by {arguments.draws} draws)"
        )
    classifier, real = fit_classifier()
    found = accuracies(sampler, classifier, arguments.per_class)
    best = max(found["density"], key=found["density"].get)
    results = {
        "bits_per_dim": bound,
        "bits_per_dim_tight": tight,
        "class_accuracy": found["density"][best],
        "best_weight": float(best),
        "accuracy_over_weight": found,
        "classifier_on_real_images": real,
        "parameters": sum(p.numel() for p in pipe.flow.parameters()),
    }
    about = environment(arguments.model, device="cpu", dtype="float32", seed=0)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    print_report("digits", settings=settings, environment=about, results=results)


def load(folder: Path) -> StarFlowPipeline:
    """A model without progress bars."""
    pipe = StarFlowPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures(part: str) -> Tensor:
    """Whole numbers 0 .. 16, (n, 8, 8)."""
    return torch.from_numpy(read_digits(part).images).float()


def measure(density: LogDensity, part: str, draws: int) -> tuple[float, float]:
    """Both bounds on the bits per dimension of a part, over the same draws for every model."""
    told = pixel_bits(
        density, pictures(part), levels=LEVELS, draws=draws, generator=Generator().manual_seed(0)
    )
    return float(told.bound.mean()), float(told.tight.mean())


def summed_over_classes(pipe: StarFlowPipeline) -> LogDensity:
    """log p(y) of the model, its classes equally likely."""
    assert isinstance(pipe.text_encoder, LabelEncoder)
    encoder = pipe.text_encoder
    texts = encoder(encoder.numbers(encoder.labels or [""]))

    def log_density(y: Tensor) -> Tensor:
        each = [pipe.flow.log_prob(y[:, None, None], text.expand(len(y), 1, -1)) for text in texts]
        return torch.logsumexp(torch.stack(each), dim=0) - math.log(len(texts))

    return log_density


def baselines(steps: int) -> dict[str, Callable[[], LogDensity]]:
    """Name -> fit it."""
    import zuko

    return {
        "gaussian": fit_gaussian,
        "realnvp": lambda: fit_flow(
            lambda: zuko.flows.RealNVP(64, transforms=8, hidden_features=(96, 96)), steps
        ),
        "maf": lambda: fit_flow(
            lambda: zuko.flows.MAF(64, transforms=4, hidden_features=(96, 96)), steps
        ),
        "nsf": lambda: fit_flow(
            lambda: zuko.flows.NSF(64, bins=4, transforms=2, hidden_features=(48, 48)), steps
        ),
    }


def fit_gaussian() -> LogDensity:
    """Full covariance, by maximum likelihood on 16 draws of each image (both parts together)."""
    images = torch.cat([pictures("train"), pictures("validation")])
    generator = Generator().manual_seed(1)
    y = torch.cat([dequantize(images, LEVELS, generator).flatten(1) for _ in range(16)])
    normal = torch.distributions.MultivariateNormal(y.mean(0), torch.cov(y.T))
    return lambda pictures: normal.log_prob(pictures.flatten(1))


def fit_flow(build: Callable[[], nn.Module], steps: int) -> LogDensity:
    """A flow of zuko, by AdamW; the weights with the best validation likelihood are kept."""
    torch.manual_seed(0)
    flow = build()
    generator, images = Generator().manual_seed(2), pictures("train")
    optimizer = torch.optim.AdamW(flow.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def log_density(y: Tensor) -> Tensor:  # the flows are made for data of about unit variance
        return flow().log_prob(2 * y.flatten(1)) + 64 * math.log(2)

    best, kept, started = math.inf, None, time.monotonic()
    for step in range(1, steps + 1):
        chosen = images[torch.randint(len(images), (BATCH,), generator=generator)]
        loss = -log_density(dequantize(chosen, LEVELS, generator)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 1.0 * 64)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 12) == 0:
            told, _ = measure(log_density, "validation", 2)
            if told < best:
                best, kept = told, {k: v.clone() for k, v in flow.state_dict().items()}
    assert kept is not None
    flow.load_state_dict(kept)
    count = sum(parameter.numel() for parameter in flow.parameters())
    print(f"{count} parameters, {time.monotonic() - started:.0f} s, validation {best:.3f}")
    return log_density


def fit_classifier() -> tuple[object, float]:
    """An SVM on the real training images, and its accuracy on the real test images."""
    from sklearn.svm import SVC

    train, test = read_digits("train", "validation"), read_digits("test")
    classifier = SVC(gamma=0.001, C=10).fit(train.images.reshape(-1, 64), train.labels)
    return classifier, float(classifier.score(test.images.reshape(-1, 64), test.labels))


def accuracies(
    pipe: StarFlowPipeline, classifier: object, per_class: int
) -> dict[str, dict[str, float]]:
    """Rule of guidance -> weight -> share of samples that are recognised as their class."""
    found: dict[str, dict[str, float]] = {"density": {}, "linear": {}}
    for name, rule in {"density": DensityGuidance, "linear": LinearGuidance}.items():
        for weight in WEIGHTS:
            if weight == 0 and name == "linear":
                found[name]["0.0"] = found["density"]["0.0"]
                continue
            images, labels = sample(pipe, rule(weight), per_class)
            right = classifier.predict(images.reshape(-1, 64)) == labels  # type: ignore[attr-defined]
            found[name][str(weight)] = float(np.mean(right))
            print(f"{name} guidance of {weight}: {found[name][str(weight)]:.1%} recognised")
    return found


def sample(
    pipe: StarFlowPipeline, guidance: DensityGuidance | LinearGuidance, per_class: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 8, 8) of levels 0 .. 16, and the classes that were asked for."""
    labels = np.repeat(np.arange(10), per_class)
    made = pipe(
        labels=labels.tolist(),
        guidance=guidance,
        generator=Generator().manual_seed(0),
        output_type="np",
        return_dict=False,
    )
    images = np.asarray(made[0])[..., 0]
    return np.round(images * (LEVELS - 1)), labels


if __name__ == "__main__":
    main()
