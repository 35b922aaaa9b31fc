import json
from pathlib import Path

import pytest

from starflow_v.planner.schemes import SCHEMES, Effort, read_evaluations

ROW = {
    "solver": "window",
    "evaluations": {"deep": 90, "shallow": 20},
    "passes": {"deep": 18.0, "shallow": 10.0},
}
SETTINGS = {"tokens_per_frame": 64, "latent_frames": 5, "shallow_blocks": 2}


def test_counts_of_a_benchmark_become_passes_and_spans(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    report = {"benchmark": "sampling", "settings": SETTINGS, "results": {"rows": [ROW]}}
    path.write_text(f"a table for people\n{json.dumps(report)}\n")
    (scheme,) = read_evaluations(path)
    assert scheme.name == "window" and "run.json" in scheme.source
    assert scheme.deep == Effort(passes=18.0, span=64)
    assert scheme.shallow == Effort(passes=5.0, span=32)


def test_rows_of_one_solver_are_told_apart_by_their_guidance(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    rows = [{**ROW, "guidance": weight} for weight in (0.0, 3.5)]
    path.write_text(json.dumps({"settings": SETTINGS, "results": rows}, indent=1))
    assert [it.name for it in read_evaluations(path)] == [
        "window, guidance 0",
        "window, guidance 3.5",
    ]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": {}, "results": [{}]}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        read_evaluations(path)


def test_efforts_below_one_pass_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        Effort(passes=0.5, span=4)


def test_every_scheme_says_where_its_numbers_come_from() -> None:
    assert all(scheme.source for scheme in SCHEMES.values())
    assert SCHEMES["sequential"].deep == Effort(passes=1, span=1)
