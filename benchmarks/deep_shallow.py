"""Deep-shallow against equal depth on digits: the same parameters, data and steps.

    python benchmarks/deep_shallow.py --folder runs/deep_shallow

Both are `configs/digits.yaml` with three blocks of six layers in all, dealt out as 1 + 1 + 4 or as
2 + 2 + 2 (counted from the data); the class is told to the last block in both.
"""

import argparse
import time
from pathlib import Path

import torch
from digits import accuracies, fit_classifier, measure, summed_over_classes
from report import environment, print_report
from torch import Generator

from starflow_v import StarFlowPipeline
from starflow_v.training.recipes import train_model

CONFIG = Path(__file__).parents[1] / "configs/digits.yaml"
ARRANGEMENTS = {
    "deep_shallow": ["flow.shallow_layers=[1,1]", "flow.deep_layers=4"],
    "equal_depth": ["flow.shallow_layers=[2,2]", "flow.deep_layers=2"],
}
TIMED, REPEATS = 64, 3
"""Images whose sampling is timed, and how often; the quickest counts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--per-class", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classifier, _ = fit_classifier()
    results: dict[str, dict[str, list[float]]] = {}
    for name, shape in ARRANGEMENTS.items():
        for seed in range(arguments.seeds):
            folder = arguments.folder / f"{name}-{seed}"
            pipeline = train_model(CONFIG, [*shape, *run_changes(folder, seed, arguments)])
            pipe = StarFlowPipeline.from_pretrained(pipeline)
            pipe.set_progress_bar_config(disable=True)
            measured = measures(pipe, classifier, arguments.per_class)
            for key, value in measured.items():
                results.setdefault(name, {}).setdefault(key, []).append(value)
            print(name, seed, measured)
    about = environment(None, device="cpu", dtype="float32", seed=0)
    settings = {key: str(value) for key, value in vars(arguments).items()}
    print_report("deep_shallow", settings=settings, environment=about, results=results)


def run_changes(folder: Path, seed: int, arguments: argparse.Namespace) -> list[str]:
    """What a run changes in the configuration besides its shape."""
    return [
        f"trainer.folder={folder}",
        f"trainer.seed={seed}",
        f"trainer.steps={arguments.steps}",
        f"trainer.evaluate_every={arguments.steps}",
        f"batch_size={arguments.batch_size}",
        f"data.cache={arguments.folder / 'latents'}",
    ]


def measures(pipe: StarFlowPipeline, classifier: object, per_class: int) -> dict[str, float]:
    """Bits per dimension of the test images, classes recognised at the best weight, time."""
    bits, _ = measure(summed_over_classes(pipe), "test", 4)
    recognised = accuracies(pipe, classifier, per_class)["density"]
    return {
        "bits_per_dim": bits,
        "class_accuracy": max(recognised.values()),
        "class_accuracy_unguided": recognised["0.0"],
        "seconds_per_image": min(seconds(pipe) for _ in range(REPEATS)) / TIMED,
        "parameters": sum(parameter.numel() for parameter in pipe.flow.parameters()),
    }


def seconds(pipe: StarFlowPipeline) -> float:
    """CPU time of sampling, all images in one batch, on the one thread there is."""
    started = time.process_time()
    pipe(labels=[index % 10 for index in range(TIMED)], generator=Generator().manual_seed(0))
    return time.process_time() - started


if __name__ == "__main__":
    main()
