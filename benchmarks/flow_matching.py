"""Three couplings of flow matching in the plane: how good, how straight, how fast.

    python benchmarks/flow_matching.py [--quick] [--steps 600] [--seeds 5]

I-CFM, OT-CFM and W-CFM (kappa by the elbow) between distributions of points, at three batch sizes.

- w2: exact 2-Wasserstein distance between samples (100 Euler steps) and fresh points of it;
  `w2_four_steps`: the same after 4 steps; `w2_floor`: between two draws of the target itself.
- path_energy: |E - W2²| / W2², E the mean integral of |v|² along the paths, W2 between source
  and target (arXiv 2302.00482); 0 is the straightest transport there is.
- bend: E / mean |x1 - x0|² - 1, of the paths' own ends: 0 if straight, wherever they lead.
- kappa_sweep: w2 and path_energy of W-CFM at multiples of the elbow, at the middle batch size.
- seconds_per_step: processor time of one step of one network.
- weights_to_icfm_gradient_error: relative difference of the gradients of W-CFM with a very large
  eps and of I-CFM.

The networks of all seeds and tasks are trained side by side; each has its own points.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable
from itertools import product

import ot
import torch
from report import environment, print_report
from torch import Generator, Tensor
from torch.func import functional_call, stack_module_state, vmap

from starflow_v.baselines.couplings import (
    Coupling,
    IndependentCoupling,
    OptimalTransportCoupling,
    WeightedCoupling,
)
from starflow_v.baselines.flow_matching import (
    flow_matching_loss,
    interpolate,
    target_velocity,
)
from starflow_v.baselines.gibbs import choose_kappa, effective_sample_size
from starflow_v.baselines.integrators import Euler
from starflow_v.baselines.point_velocity import PointVelocity
from starflow_v.baselines.points import Sampler, eight_gaussians, standard_normal, two_moons

TASKS: dict[str, tuple[Sampler, Sampler]] = {
    "gaussians to moons": (eight_gaussians, two_moons),
    "moons to gaussians": (two_moons, eight_gaussians),
    "noise to gaussians": (standard_normal, eight_gaussians),
    "noise to moons": (standard_normal, two_moons),
}
METHODS = ("icfm", "otcfm", "wcfm")
LR = 3e-3
MULTIPLES = (0.5, 2.0, 4.0)
SAMPLES, EULER, FEW = 1024, 100, 4
Weights = dict[str, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--quick", action="store_true", help="200 steps, 2 seeds, batches of 64")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.seeds, arguments.batch_sizes = 200, 2, [64]
    torch.set_num_threads(1)
    kappas = {name: kappa_of(task) for name, task in TASKS.items()}
    sizes, seeds = arguments.batch_sizes, range(arguments.seeds)
    results: dict[str, object] = {"kappa": kappas, **references()}
    results |= measure_all(kappas, sizes, seeds, arguments.steps)
    results["kappa_sweep"] = sweep(kappas, sizes[len(sizes) // 2], seeds, arguments.steps)
    results["seconds_per_step"] = {
        method: {size: seconds_per_step(method, kappas, size) for size in sizes}
        for method in METHODS
    }
    results["weights_to_icfm_gradient_error"] = gradient_error()
    results["table"] = table(results, sizes)
    print("\n".join(results["table"]))
    settings = vars(arguments) | {"samples": SAMPLES, "euler_steps": EULER, "lr": LR}
    about = environment(None, device="cpu", dtype="float32", seed=0)
    print_report("flow_matching", settings=settings, environment=about, results=results)


def coupling_of(method: str, kappa: float) -> Coupling:
    return {
        "icfm": IndependentCoupling(),
        "otcfm": OptimalTransportCoupling(),
        "wcfm": WeightedCoupling(kappa),
    }[method]


def kappa_of(task: tuple[Sampler, Sampler]) -> float:
    generator = Generator().manual_seed(0)
    x0, x1 = (sampler(SAMPLES, generator) for sampler in task)
    return choose_kappa(x0, x1).kappa


def measure_all(
    kappas: dict[str, float], sizes: list[int], seeds: range, steps: int
) -> dict[str, dict[str, dict[str, dict[int, list[float]]]]]:
    """Measure -> method -> task -> batch size -> a value for each seed."""
    measures = ("w2", "w2_four_steps", "path_energy", "bend", "effective_share")
    found = {
        measure: {method: {task: {} for task in TASKS} for method in METHODS}
        for measure in measures
    }
    for method, size in product(METHODS, sizes):
        print(f"{method}, batches of {size}", file=sys.stderr)
        runs = list(product(TASKS, seeds))
        weights, shares = train(method, kappas, runs, size, steps)
        for index, (task, seed) in enumerate(runs):
            mine = {name: weight[index] for name, weight in weights.items()}
            measured = measure(mine, task, seed) | {"effective_share": shares[index]}
            for name in measures:
                found[name][method][task].setdefault(size, []).append(measured[name])
    return found


def sweep(
    kappas: dict[str, float], size: int, seeds: range, steps: int
) -> dict[str, dict[float, dict[str, float]]]:
    """Task -> multiple of kappa -> measures of W-CFM, means over seeds."""
    runs = list(product(TASKS, seeds))
    found: dict[str, dict[float, dict[str, float]]] = {task: {} for task in TASKS}
    for multiple in MULTIPLES:
        scaled = {task: multiple * kappa for task, kappa in kappas.items()}
        weights, shares = train("wcfm", scaled, runs, size, steps)
        for task in TASKS:
            mine = [index for index, run in enumerate(runs) if run[0] == task]
            measured = [
                measure({name: it[index] for name, it in weights.items()}, *runs[index])
                | {"effective_share": shares[index]}
                for index in mine
            ]
            found[task][multiple] = {
                name: statistics.mean(it[name] for it in measured) for name in measured[0]
            }
    return found


def train(
    method: str, kappas: dict[str, float], runs: list[tuple[str, int]], size: int, steps: int
) -> tuple[Weights, list[float]]:
    """The networks of all runs (task, seed), stacked, and their mean effective sample sizes as
    shares of the batch."""
    networks = []
    for _, seed in runs:
        torch.manual_seed(seed)
        networks.append(PointVelocity(2))
    weights = stack_module_state(networks)[0]
    generators = [Generator().manual_seed(seed) for _, seed in runs]
    couplings = [coupling_of(method, kappas[task]) for task, _ in runs]
    optimizer = torch.optim.Adam(weights.values(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    predict = vmap(lambda mine, t, x: functional_call(networks[0], mine, (t, x)))
    shares = torch.zeros(len(runs))
    for _ in range(steps):
        batch = [
            draw(coupling, TASKS[task], size, generator)
            for coupling, (task, _), generator in zip(couplings, runs, generators, strict=True)
        ]
        x0, x1, weight, t = (torch.stack(tensors) for tensors in zip(*batch, strict=True))
        errors = predict(weights, t, interpolate(x0, x1, t)) - target_velocity(x0, x1)
        loss = (weight * errors.square().mean(-1)).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        shares += torch.stack([effective_sample_size(row) for row in weight]) / size
    return {name: it.detach() for name, it in weights.items()}, (shares / steps).tolist()


def draw(
    coupling: Coupling, task: tuple[Sampler, Sampler], size: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x0, x1, weight, t of a batch."""
    x0, x1 = (sampler(size, generator) for sampler in task)
    return *coupling(x0, x1), torch.rand(size, generator=generator)


@torch.no_grad()
def measure(weights: Weights, task: str, seed: int) -> dict[str, float]:
    """How near the samples of one network are to the target, and how straight they came."""
    network = PointVelocity(2)
    network.load_state_dict(weights)
    source, target = TASKS[task]
    generator = Generator().manual_seed(1000 + seed)
    x0, fresh = source(SAMPLES, generator), target(SAMPLES, generator)
    energies: list[float] = []

    def recorded(t: Tensor, x: Tensor) -> Tensor:
        v = network(t, x)
        energies.append(float(v.square().sum(1).mean()))
        return v

    end = Euler(EULER)(recorded, x0).end
    energy, least = statistics.mean(energies), squared_w2(x0, fresh)
    return {
        "w2": squared_w2(end, fresh) ** 0.5,
        "w2_four_steps": squared_w2(Euler(FEW)(network, x0).end, fresh) ** 0.5,
        "path_energy": abs(energy - least) / least,
        "bend": energy / float((end - x0).square().sum(1).mean()) - 1,
    }


def squared_w2(x: Tensor, y: Tensor) -> float:
    """Exact W2² between two samples of equal size."""
    cost = torch.cdist(x.double(), y.double()).square()
    return float(ot.emd2([], [], cost.numpy(), numItermax=1_000_000))


def references() -> dict[str, dict[str, float]]:
    """W2 between two draws of each target: what a perfect model would have."""
    floors = {}
    for name, (_, target) in TASKS.items():
        generator = Generator().manual_seed(7)
        pairs = [(target(SAMPLES, generator), target(SAMPLES, generator)) for _ in range(3)]
        floors[name] = statistics.mean(squared_w2(x, y) ** 0.5 for x, y in pairs)
    return {"w2_floor": floors}


def seconds_per_step(method: str, kappas: dict[str, float], size: int) -> float:
    """Median processor time of a step of one network, its points and its coupling included."""
    task = next(iter(TASKS))
    coupling, generator = coupling_of(method, kappas[task]), Generator().manual_seed(0)
    network = PointVelocity(2)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, fused=True)
    times = []
    for _ in range(40):
        began = time.process_time()
        x0, x1, weight, t = draw(coupling, TASKS[task], size, generator)
        loss = flow_matching_loss(
            network(t, interpolate(x0, x1, t)), target_velocity(x0, x1), weight
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.process_time() - began)
    return statistics.median(times[5:])


def gradient_error() -> float:
    """|gradient of W-CFM - gradient of I-CFM| / |gradient of I-CFM|, kappa = 1e9, in float64."""
    torch.manual_seed(0)
    network = PointVelocity(2).double()
    generator = Generator().manual_seed(0)
    points = [sampler(128, generator).double() for sampler in TASKS["gaussians to moons"]]
    t = torch.rand(128, generator=generator).double()
    gradients = []
    for coupling in (IndependentCoupling(), WeightedCoupling(1e9)):
        x0, x1, weight = coupling(*points)
        prediction = network(t, interpolate(x0, x1, t))
        loss = flow_matching_loss(prediction, target_velocity(x0, x1), weight)
        parts = torch.autograd.grad(loss, list(network.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    plain, weighted = gradients
    return float((weighted - plain).norm() / plain.norm())


def table(results: dict, sizes: list[int]) -> list[str]:
    """Rows of a Markdown table: mean ± standard deviation over seeds."""
    rows = [
        "| task | batch | coupling | W2 | W2, 4 steps | path energy | bend | ms a step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, size, method in product(TASKS, sizes, METHODS):
        cells = [
            mean_and_spread(results[measure][method][task][size])
            for measure in ("w2", "w2_four_steps", "path_energy", "bend")
        ]
        cost = 1000 * results["seconds_per_step"][method][size]
        rows.append(f"| {task} | {size} | {method} | {' | '.join(cells)} | {cost:.1f} |")
    return rows


def mean_and_spread(values: Iterable[float]) -> str:
    numbers = list(values)
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return f"{statistics.mean(numbers):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
