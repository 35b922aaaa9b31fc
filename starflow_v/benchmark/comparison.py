"""Two reports of the same benchmark: what changed, and what is noise.

Runs of one solver differ among themselves. The noise floor of a figure is the larger of both
reports' spread, (largest run - smallest run) / median, and at least 1 %: a difference of medians
under it says nothing. One run has no spread, so nothing is known: its floor is infinite.
Evaluations do not vary: any difference is one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_FLOOR = 0.01
Report = Mapping[str, Any]
Key = tuple[str, float]
"""Solver and guidance weight."""

COUNTED = ("evaluations.deep", "evaluations.shallow")
TIMED = (
    "seconds.deep",
    "seconds.shallow",
    "seconds.total",
    "first_frame_seconds",
    "fps_steady",
)
FASTER_IS_MORE = ("fps_steady",)
SAME = (
    "prompt",
    "seed",
    "height",
    "width",
    "num_frames",
    "tokens_per_frame",
    "latent_frames",
    "shallow_blocks",
    "clock",
)
SAME_MACHINE = ("machine", "device", "dtype", "threads", "compiled", "weights_sha256")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One figure of one solver in both reports.

    Args:
        solver: its name.
        guidance: w.
        name: of the figure.
        before: its median in the first report.
        after: the same in the second.
        floor: what counts as noise, as a share.
    """

    solver: str
    guidance: float
    name: str
    before: float
    after: float
    floor: float

    @property
    def change(self) -> float:
        """After over before, less 1."""
        if self.before == 0:
            return 0.0 if self.after == 0 else math.inf
        return self.after / self.before - 1

    @property
    def is_noise(self) -> bool:
        """Whether the difference could be of the runs alone."""
        return abs(self.change) <= self.floor

    @property
    def worsening(self) -> float:
        """By which share it costs more than before; 0 if it is noise or costs less."""
        worse = 1 / (1 + self.change) - 1 if self.name in FASTER_IS_MORE else self.change
        return 0.0 if self.is_noise else max(0.0, worse)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.change == 0:
            return "same"
        if self.is_noise:
            return "noise"
        return "worse" if self.worsening > 0 else "better"


def read_report(path: Path) -> Report:
    """A file of `starflow-v benchmark`, checked."""
    try:
        report: Report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error})") from None
    try:  # whatever a comparison asks of it is there if it can be held against itself
        compare(report, report)
        differences(report, report)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(
            f"{path} is no report; expected a file of `starflow-v benchmark`"
        ) from None
    return report


def differences(before: Report, after: Report) -> list[str]:
    """What was not the same in both: figures that differ may be due to it."""
    names = [("settings", name) for name in SAME] + [("environment", name) for name in SAME_MACHINE]
    return [
        f"{name} was {before[part].get(name)} and is {after[part].get(name)}"
        for part, name in names
        if before[part].get(name) != after[part].get(name)
    ]


def compare(before: Report, after: Report) -> list[Comparison]:
    """Every figure of every solver and weight that both have."""
    first, second = _by_key(before), _by_key(after)
    shared = [key for key in first if key in second]
    if not shared:
        raise ValueError(
            f"the reports have no solver at the same guidance weight in common: one has "
            f"{_listed(first)}, the other {_listed(second)}"
        )
    return [it for key in shared for it in _compare_rows(key, first[key], second[key])]


def describe(comparisons: Sequence[Comparison]) -> str:
    """A line for each."""
    lines = [
        f"{'solver':16}{'guidance':>9}  {'figure':20}{'before':>12}{'after':>12}{'change':>9}"
        f"{'noise':>8}"
    ]
    lines += [
        f"{it.solver:16}{it.guidance:>9g}  {it.name:20}{it.before:>12.4g}{it.after:>12.4g}"
        f"{it.change:>+9.1%}{it.floor:>8.1%}  {it.verdict}"
        for it in comparisons
    ]
    return "\n".join(lines)


def _compare_rows(
    key: Key, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Comparison]:
    names: tuple[tuple[str, Callable[..., float]], ...] = (
        *((name, _no_floor) for name in COUNTED),
        *((name, _floor) for name in TIMED),
    )
    for name, floor in names:
        first, second = _figure(before, name), _figure(after, name)
        if first is None or second is None:
            continue
        yield Comparison(
            solver=key[0],
            guidance=key[1],
            name=name,
            before=first,
            after=second,
            floor=max(floor(before, name), floor(after, name)),
        )


def _no_floor(row: Mapping[str, Any], name: str) -> float:
    return 0.0


def _floor(row: Mapping[str, Any], name: str) -> float:
    """The spread of the runs, as a share of their median."""
    values = [value for run in row["raw"] if (value := _figure(run, name)) is not None]
    middle = _figure(row, name)
    if not middle or len(values) < 2:
        return math.inf
    return max(LEAST_FLOOR, (max(values) - min(values)) / middle)


def _figure(row: Mapping[str, Any], name: str) -> float | None:
    """`seconds.deep` of a row or a run."""
    value: Any = row
    for part in name.split("."):
        value = value[part]
    return None if value is None else float(value)


def _by_key(report: Report) -> dict[Key, Mapping[str, Any]]:
    return {(str(row["solver"]), float(row["guidance"])): row for row in report["results"]}


def _listed(rows: Mapping[Key, object]) -> str:
    return ", ".join(f"{name} at {weight:g}" for name, weight in rows)
