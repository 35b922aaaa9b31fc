"""Writes tables of docs/sampling.md and docs/flow-matching.md, with their plots, from what
benchmarks printed.

    python docs/sampling.py sampling.txt curve.txt head_to_head.txt couplings.txt

Each file ends with the JSON line of `benchmarks/sampling.py`, `noise_and_groups.py`,
`head_to_head.py` or `couplings.py`; sections of other benchmarks stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plots import (
    Results,
    bars,
    curves,
    draw,
    quality_against_evaluations,
    quality_against_seconds,
    seconds_of_flow,
)

DOCS = Path(__file__).parent
PAGE = DOCS / "sampling.md"
PAGES = {"couplings": DOCS / "flow-matching.md"}
"""Benchmark -> where its sections are; the others are on `PAGE`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        report = json.loads(path.read_text("utf-8").strip().splitlines()[-1])
        write = WRITERS.get(report["benchmark"])
        if write is None:
            raise SystemExit(f"{path} is of {report['benchmark']}; expected {', '.join(WRITERS)}")
        page = PAGES.get(report["benchmark"], PAGE)
        for name, text in write(report["results"], provenance(report)).items():
            replace_section(page, name, text)


def replace_section(page: Path, name: str, text: str) -> None:
    """Another text between the marks of a section."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    before = page.read_text("utf-8")
    if not pattern.search(before):
        raise SystemExit(f"{page} has no section {name}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", before), "utf-8")


def provenance(report: Mapping[str, Any]) -> str:
    """One line on what was measured where."""
    about = report["environment"]
    weights = (about["weights_sha256"] or "none")[:12]
    return (
        f"*{about['machine']}, {about['device']}, {about['dtype']}, {about['threads']} thread(s), "
        f"torch {about['torch']}, commit {(about['commit'] or 'unknown')[:10]}, weights {weights}.*"
    )


def sampling(results: Results, about: str) -> dict[str, str]:
    """Sections of `benchmarks/sampling.py`."""
    draw("sampling_solvers", lambda figure: bars(figure, results["rows"]))
    sections = {
        "solvers": f"{solver_table(results['rows'])}\n\n{picture('sampling_solvers')}\n\n{about}",
        "ratios": "Ours over the others; below 1 is less:\n\n"
        + markdown(
            ["", "seconds", "evaluations", "passes"],
            [[name, *numbers(it.values())] for name, it in results["ratios"].items()],
        ),
        "baselines": baseline_table(results),
        "stream": stream_table(results["stream"]),
    }
    if "easy" in results:
        sections["easy"] = easy_section(results)
    return sections


def solver_table(rows: Sequence[Results]) -> str:
    head = ["solver", "guidance", "evaluations", "passes", "deep s", "shallow s", "total s"]
    head += ["first frame s", "fps", "backward error", "max error", "tolerance"]
    return markdown(head, [list(solver_cells(row)) for row in rows])


def solver_cells(row: Results) -> Iterator[str]:
    yield from (row["solver"], f"{row['guidance']:g}")
    yield " + ".join(str(it) for it in row["evaluations"].values())
    yield " + ".join(f"{it:.1f}" for it in row["passes"].values())
    yield from numbers(row["seconds"][name] for name in ("deep", "shallow", "total"))
    yield from numbers((row["first_frame_seconds"], row["fps"]))
    yield from (f"{row[name]:.0e}" for name in ("backward_error", "max_error"))
    tolerance = row["parameters"].get("tolerance")
    yield "" if tolerance is None else f"{tolerance:.2g}"


def baseline_table(results: Results) -> str:
    rows = []
    for row in results["rows"]:
        if row["solver"] in ("sequential", "ours"):
            seconds = row["seconds"]
            spent = seconds["deep"] + seconds["shallow"] + seconds["denoise"]
            name = f"flow, {row['solver']}, guidance {row['guidance']:g}"
            evaluations = str(sum(row["evaluations"].values()))
            rows.append([name, "", evaluations, *numbers((spent, seconds["total"]))])
    for name, it in results["baselines"].items():
        seconds = it["seconds"]
        size = f"{it['parameters'] / 1e6:.2f} M"
        rows.append(
            [name, size, str(it["evaluations"]), *numbers((seconds["steps"], seconds["total"]))]
        )
    return markdown(["", "parameters", "evaluations", "network s", "end to end s"], rows)


def stream_table(stream: Results) -> str:
    head = ["guidance", "first frame s", "its bound s", "in series s", "side by side s", "ratio"]
    return markdown(head, [[weight, *numbers(it.values())] for weight, it in stream.items()])


def easy_section(results: Results) -> str:
    ratios = markdown(
        ["easy over raster", "seconds", "evaluations", "passes"],
        [[name, *numbers(it.values())] for name, it in results["easy_over_model"].items()],
    )
    parts = [solver_table(results["easy"]["rows"]), ratios]
    if "captions" in results:
        rows = [[name, *numbers(it.values())] for name, it in results["captions"].items()]
        parts.append(markdown(["eight captions, ours at 0.001", "evaluations", "passes"], rows))
    if "quality" in results:
        head = ["", "bits per dimension", "captions right", "colour", "shape", "motion"]
        rows = [
            [name, f"{it['bits_per_dim']:.3f}", *(f"{it[key]:.0%}" for key in QUALITY)]
            for name, it in results["quality"].items()
        ]
        parts.append(markdown(head, rows))
    parts.append(f"*The easy model: weights {results['easy']['weights_sha256'][:12]}.*")
    return "\n\n".join(parts)


QUALITY = ("all", "colour", "shape", "motion")


def curve(results: Results, about: str) -> dict[str, str]:
    """The section of `benchmarks/noise_and_groups.py`."""
    draw("sampling_curve", lambda figure: curves(figure, results))
    head = ["model", "noise", "groups", "bits, noised", "above noise", "bits, clean", "PSNR"]
    head += ["captions right", "attributes right"]
    head += ["evaluations: sequential, paper, ours", "seconds of ours"]
    rows = []
    for name, it in results.items():
        evaluations = [str(sum(row["evaluations"].values())) for row in it["rows"]]
        rows.append(
            [
                name,
                f"{it['noise_std']:g}",
                str(it["groups"] or "none"),
                *(f"{it[key]:.3f}" for key in ("bits_per_dim", "above_noise", "pixel_bits")),
                f"{it['denoised_psnr']:.1f}",
                f"{it['accuracy']['all']:.0%}",
                f"{it['attributes']:.0%}",
                ", ".join(evaluations),
                f"{seconds_of_flow(it['rows'][-1]):.2f}",
            ]
        )
    return {"curve": f"{markdown(head, rows)}\n\n{picture('sampling_curve')}\n\n{about}"}


def head_to_head(results: Results, about: str) -> dict[str, str]:
    """The section of `benchmarks/head_to_head.py`."""
    draw("head_to_head", lambda figure: quality_against_seconds(figure, results["samplers"]))
    names = ("accuracy", "smoothness", "drift_first", "drift_last", "fps", "first_frame_seconds")
    head = ["", "evaluations", "captions right", "attributes right", "smoothness"]
    head += ["long: first second", "long: last second", "frames a second", "first frame s"]
    rows = []
    for name, it in results["samplers"].items():
        cells = numbers(it[key] for key in names)
        cells.insert(1, f"{it['attributes']['mean']:.3g}")
        rows.append([name, str(it["evaluations"]), *cells])
    parts = [markdown(head, rows), picture("head_to_head"), trainings(results), about]
    return {"head_to_head": "\n\n".join(parts)}


def trainings(results: Results) -> str:
    """What the models of `benchmarks/head_to_head.py` are, and what they have cost."""
    head = ["", "parameters", "steps", "ms a step", "seconds in all", "TFLOP in all"]
    head += ["guidance", "bits per dimension"]
    rows = [
        [
            name,
            f"{results['parameters'][name] / 1e6:.2f} M",
            str(it["steps"]),
            f"{1000 * it['seconds_per_step']:.0f}",
            f"{it['seconds']:.0f}",
            f"{it['operations'] / 1e12:.1f}",
            f"{results['guidance'][name]['best']:g}",
            f"{results['likelihood'][name]:.3f}",
        ]
        for name, it in results["training"].items()
    ]
    return markdown(head, rows)


def couplings(results: Results, about: str) -> dict[str, str]:
    """The sections of `benchmarks/couplings.py`."""
    draw("couplings", lambda figure: quality_against_evaluations(figure, results))
    head = ["", "bits per dimension", "integrator", "evaluations", "recognised", "W2"]
    rows = [
        [name, f"{it['bits_per_dim']:.3f}", way, *numbers(made.values())]
        for name, it in results["digits"]["models"].items()
        for way, made in it["samples"].items()
    ]
    found = {"digits": f"{markdown(head, rows)}\n\n{about}"}
    if "scenes" in results:
        head = ["", "integrator", "evaluations", "captions right", "attributes right", "smoothness"]
        rows = []
        for name, it in results["scenes"]["models"].items():
            for way, made in it["samples"].items():
                values = (made["accuracy"], made["attributes"]["mean"], made["smoothness"])
                rows.append([name, way, str(made["evaluations"]), *numbers(values)])
        found["scenes"] = f"{markdown(head, rows)}\n\n{picture('couplings')}\n\n{about}"
    return found


def picture(name: str) -> str:
    return f"![{name.replace('_', ' ')}](images/{name}.svg)"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def numbers(values: Any) -> list[str]:
    """Three digits that matter."""
    return ["" if value is None else f"{value:.3g}" for value in values]


WRITERS: dict[str, Callable[[Results, str], dict[str, str]]] = {
    "sampling": sampling,
    "noise_and_groups": curve,
    "head_to_head": head_to_head,
    "couplings": couplings,
}


if __name__ == "__main__":
    main()
