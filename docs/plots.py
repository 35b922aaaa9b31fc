"""The plots of docs/sampling.md and docs/flow-matching.md, see `sampling.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

IMAGES = Path(__file__).parent / "images"
STYLE = {"font.size": 9, "svg.hashsalt": "starflow_v", "svg.fonttype": "path"}
COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")
MARKERS = "os^Dv*"
"""Of models of one kind, which have one colour."""

Results = Mapping[str, Any]


def bars(figure: Figure, rows: Sequence[Results]) -> None:
    """Evaluations and seconds of the flow, solver beside solver, for each weight."""
    names = list(dict.fromkeys(row["solver"] for row in rows))
    weights = list(dict.fromkeys(row["guidance"] for row in rows))
    measures: dict[str, Callable[[Results], float]] = {
        "evaluations": lambda row: sum(row["evaluations"].values()),
        "passes over the tokens": lambda row: sum(row["passes"].values()),
        "seconds of the flow": seconds_of_flow,
    }
    beside = figure.subplots(1, 3, sharey=True)
    for axes, (title, measure) in zip(beside, measures.items(), strict=True):
        for place, weight in enumerate(weights):
            found = {row["solver"]: measure(row) for row in rows if row["guidance"] == weight}
            at = [index + (place - (len(weights) - 1) / 2) * 0.4 for index in range(len(names))]
            widths = [found[name] for name in names]
            drawn = axes.barh(at, widths, 0.38, color=COLORS[place], label=f"guidance {weight:g}")
            labels = [f"{width:.0f}" if width >= 100 else f"{width:.3g}" for width in widths]
            axes.bar_label(drawn, labels, fontsize=6, padding=1)
        axes.set_yticks(range(len(names)), names)
        plain(axes, title)
    beside[0].set(xscale="log", xlim=(10, None))
    beside[0].invert_yaxis()
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(weights), frameon=False)


def curves(figure: Figure, results: Results) -> None:
    """What every model of the curve costs, and what it gives."""
    measures: dict[str, Callable[[Results], float]] = {
        "bits per dimension, clean": lambda it: it["pixel_bits"],
        "attributes right": lambda it: it["attributes"],
    }
    for axes, (title, measure) in zip(figure.subplots(1, 2), measures.items(), strict=True):
        markers = {kind: iter(MARKERS) for kind in range(3)}
        for name, it in results.items():
            evaluations = sum(it["rows"][-1]["evaluations"].values())
            kind = 0 if name.startswith("noise") else 1 if name.startswith("gr") else 2
            style = {"color": COLORS[kind], "marker": next(markers[kind]), "linestyle": ""}
            axes.plot(evaluations, measure(it), label=name, **style)
        axes.set_xscale("log")
        axes.set_xlabel("evaluations, ours")
        plain(axes, title)
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", fontsize=7, frameon=False)


def quality_against_seconds(figure: Figure, samplers: Results) -> None:
    """Captions right, and attributes, against seconds of a clip."""
    measures: dict[str, Callable[[Results], float]] = {
        "captions right": lambda it: it["accuracy"],
        "attributes right": lambda it: it["attributes"]["mean"],
    }
    for axes, (title, measure) in zip(figure.subplots(1, 2), measures.items(), strict=True):
        for name, it in samplers.items():
            color = COLORS[1 if "matching" in name else 0]
            error = it["accuracy_error"] if title == "captions right" else None
            axes.errorbar(it["seconds"], measure(it), error, fmt="o", color=color)
            place = (it["seconds"], measure(it))
            axes.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("processor seconds of a clip")
        plain(axes, title)


def quality_against_evaluations(figure: Figure, results: Results) -> None:
    """The couplings, step by step, on digits and on scenes."""
    measures: dict[str, tuple[str, Callable[[Results], float]]] = {
        "digits recognised": ("digits", lambda it: it["recognised"]),
        "digits: W2": ("digits", lambda it: it["w2"]),
        "scenes: attributes right": ("scenes", lambda it: it["attributes"]["mean"]),
    }
    shown = {title: it for title, it in measures.items() if it[0] in results}
    for axes, (title, (part, measure)) in zip(
        figure.subplots(1, len(shown)), shown.items(), strict=True
    ):
        for color, (name, it) in zip(COLORS, results[part]["models"].items(), strict=False):
            made = sorted(it["samples"].values(), key=lambda one: one["evaluations"])
            across = [one["evaluations"] for one in made]
            axes.plot(across, [measure(one) for one in made], "o-", color=color, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("evaluations")
        axes.legend(fontsize=6, frameon=False)
        plain(axes, title)


def seconds_of_flow(row: Results) -> float:
    """Of both halves."""
    return float(row["seconds"]["deep"] + row["seconds"]["shallow"])


def plain(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)


def draw(name: str, paint: Callable[[Figure], None]) -> None:
    """A picture beside the page; the same results make the same file."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(9, 3.2), layout="constrained")
        paint(figure)
        figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
