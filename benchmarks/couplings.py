"""Three couplings of flow matching on digits and scenes: quality against function evaluations.

    python benchmarks/couplings.py --digits runs/couplings
    python benchmarks/head_to_head.py train --folder runs/head_to_head \
        --models matching optimal_transport weighted
    python benchmarks/couplings.py --digits runs/couplings --scenes runs/head_to_head

On digits it trains what the folder does not hold yet, all for as many steps: the three couplings
by `configs/digits_matching.yaml`, and the flow of `configs/digits_samples.yaml`.

- recognised: the share of samples that a classifier of real digits takes for the class that was
  asked for, as `benchmarks/digits.py` has it, without guidance. w2: exact 2-Wasserstein distance of
  samples from as many test images, in levels of gray; `w2_floor` is that of training images.
- bits_per_dim: of test images with Gaussian noise of the flow's `noise_std`, given their classes.
- scenes: captions right, attributes right and smoothness, see `benchmarks/head_to_head.py`, all
  at the guidance that suits the independent coupling best there.
- evaluations: of the network, for a clip; `adaptive`: Dormand-Prince at a tolerance of 1e-3.
- kappa, effective_share: of the weighted coupling, and the mean over the last steps of training of
  the effective sample size over the batch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from digits import fit_classifier
from embedded_quality import SEED
from head_to_head import (
    STEPS,
    Sampler,
    best_guidance,
    open_model,
    parameters,
    quality,
    tell,
)
from matching_likelihood import matching_bits
from numpy.typing import NDArray
from report import environment, print_report
from torch import Generator

from starflow_v import StarFlowVFlowMatchingPipeline, StarFlowVPipeline
from starflow_v.baselines.integrators import Adaptive, Euler, Integrator
from starflow_v.baselines.transport import assign
from starflow_v.data.digits import CLASSES, LEVELS, Digits, read_digits
from starflow_v.data.pixels import to_frames
from starflow_v.training.engine.journal import LOG_NAME
from starflow_v.training.flow_report import held_out_captions
from starflow_v.training.matching_settings import COUPLINGS
from starflow_v.training.objectives import bits_per_dimension, negative_log_likelihood
from starflow_v.training.recipes import train_model

CONFIGS = Path(__file__).parents[1] / "configs"
FLOW = "flow"
DIGITS: dict[str, tuple[str, list[str]]] = {
    FLOW: ("digits_samples.yaml", []),
    **{name: ("digits_matching.yaml", [f"coupling={name}"]) for name in COUPLINGS},
}
SCENES = {"independent": "matching"}
"""Coupling -> its folder, where benchmarks/head_to_head.py calls it otherwise."""
INTEGRATORS: dict[str, Integrator] = {
    **{str(steps): Euler(steps) for steps in STEPS},
    "adaptive": Adaptive(rtol=1e-3, atol=1e-3),
}
PER_CLASS = 20
"""Samples that are compared with as many test images."""
USUAL_STEPS = 10
"""With which guidance is chosen."""
LOGGED = 10
"""Last lines of a log whose effective sample sizes are averaged."""
Images = NDArray[np.float32]


def main() -> None:
    """Train what is missing, measure, print tables, then the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=Path, default=Path("runs/couplings"))
    parser.add_argument("--scenes", type=Path, help="of benchmarks/head_to_head.py")
    parser.add_argument("--steps", type=int, default=700, help="of each training on digits")
    parser.add_argument("--captions", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {"digits": on_digits(options.digits, options.steps)}
    if options.scenes is not None:
        results["scenes"] = on_scenes(options.scenes, options.captions)
    for name, rows in results.items():
        print(json.dumps({name: rows}, indent=1))
    print_report(
        "couplings",
        settings={key: str(value) for key, value in vars(options).items()},
        environment=environment(None, device="cpu", dtype="float32", seed=SEED),
        results=results,
    )


def on_digits(folder: Path, steps: int) -> dict[str, Any]:
    """All figures on digits."""
    for name in DIGITS:
        train(name, folder, steps)
    models = {name: open_model(folder / name / "pipeline") for name in DIGITS}
    classifier, real = fit_classifier()
    test, trained = (in_equal_parts(read_digits(part)) for part in ("test", "train"))
    sigma = models[FLOW].config["noise_std"]
    found = {
        name: {
            "samples": digit_samples(pipe, classifier, test),
            "bits_per_dim": digit_bits(pipe, sigma),
            "parameters": parameters(pipe),
            **weights_of(folder / name / LOG_NAME),
        }
        for name, pipe in models.items()
    }
    return {
        "models": found,
        "w2_floor": w2(trained, test),
        "classifier_on_real_images": real,
        "noise_std": sigma,
    }


def train(name: str, folder: Path, steps: int) -> None:
    """One model on digits, unless it is there."""
    if (folder / name / "pipeline" / "model_index.json").is_file():
        return
    tell(name)
    config, changes = DIGITS[name]
    places = [f"trainer.folder={folder / name}", f"data.cache={folder / 'latents'}"]
    lengths = [f"trainer.steps={steps}", f"trainer.evaluate_every={steps}"]
    train_model(CONFIGS / config, [*changes, *places, *lengths])


def digit_samples(pipe: StarFlowVPipeline, classifier: Any, test: Images) -> dict[str, Any]:
    """Integrator, or the flow's own solver -> evaluations, and how good the samples are."""
    if not isinstance(pipe, StarFlowVFlowMatchingPipeline):
        return {"own solver": digit_quality(pipe, classifier, test)}
    found = {}
    for name, integrator in INTEGRATORS.items():
        pipe.integrator = integrator
        found[name] = digit_quality(pipe, classifier, test)
    return found


def digit_quality(pipe: StarFlowVPipeline, classifier: Any, test: Images) -> dict[str, float]:
    """Of `PER_CLASS` samples of each class, without guidance."""
    labels = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
    made = pipe(
        [CLASSES[label] for label in labels],
        guidance_scale=0.0,
        generator=Generator().manual_seed(SEED),
    )
    assert made.deep is not None and made.shallow is not None
    images = np.asarray(made.frames)[:, 0, :, :, 0].reshape(len(labels), -1) * (LEVELS - 1)
    right = classifier.predict(images.round()) == labels
    return {
        "evaluations": made.deep.evaluations + made.shallow.evaluations,
        "recognised": float(np.mean(right)),
        "w2": w2(images, test),
    }


def in_equal_parts(digits: Digits) -> Images:
    """The first `PER_CLASS` images of each class, (n, 64)."""
    chosen = [digits.images[digits.labels == label][:PER_CLASS] for label in range(len(CLASSES))]
    return np.concatenate(chosen).reshape(-1, 64).astype(np.float32)


def w2(ours: Images, theirs: Images) -> float:
    """Exact 2-Wasserstein distance of two samples of equal size."""
    cost = torch.cdist(torch.from_numpy(ours), torch.from_numpy(theirs)).square()
    return float(cost[torch.arange(len(cost)), assign(cost)].mean().sqrt())


def digit_bits(pipe: StarFlowVPipeline, sigma: float) -> float:
    """Bits per dimension of noised test images, given their classes."""
    digits = read_digits("test")
    captions = [CLASSES[label] for label in digits.labels]
    if isinstance(pipe, StarFlowVFlowMatchingPipeline):
        return matching_bits(pipe, list(zip(digits.clips(), captions, strict=True)), sigma)
    with torch.no_grad():
        clean = pipe.codec.encode(to_frames(digits.clips()))
        text, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
        eps = torch.randn(clean.shape, generator=Generator().manual_seed(SEED))
        z, log_det = pipe.flow(clean + sigma * eps, text, return_dict=False)
        return float(bits_per_dimension(negative_log_likelihood(z, log_det).mean()))


def on_scenes(folder: Path, count: int) -> dict[str, Any]:
    """All figures on scenes, of the trainings of `benchmarks/head_to_head.py`."""
    folders = {name: folder / SCENES.get(name, name) for name in COUPLINGS}
    models = {name: open_model(it / "pipeline") for name, it in folders.items()}
    usual = {"num_inference_steps": USUAL_STEPS}
    guidance = best_guidance("independent", models["independent"], usual, count)
    captions = held_out_captions(count, seed=SEED)
    found: dict[str, Any] = {}
    for name, pipe in models.items():
        samples = {}
        assert isinstance(pipe, StarFlowVFlowMatchingPipeline)
        for way, integrator in INTEGRATORS.items():
            tell(f"{name}, {way}")
            pipe.integrator = integrator
            sampler = Sampler(name=name, pipe=pipe, how={"guidance_scale": guidance["best"]})
            measured = quality(sampler, captions)
            sampler.run(first=True, counts=False)
            samples[way] = {"evaluations": sampler.evaluations, **measured}
        found[name] = {"samples": samples, **weights_of(folders[name] / LOG_NAME)}
    return {"models": found, "guidance": guidance}


def weights_of(log: Path) -> dict[str, float]:
    """What a training's log says of its weights, if it had any."""
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    shares = [entry["effective_share"] for entry in entries if "effective_share" in entry]
    kappas = [entry["kappa"] for entry in entries if "kappa" in entry]
    if not kappas:
        return {}
    return {"kappa": kappas[-1], "effective_share": mean(shares[-LOGGED:])}


if __name__ == "__main__":
    main()
