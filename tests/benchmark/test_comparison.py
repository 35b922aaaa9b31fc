import math
from collections.abc import Sequence
from typing import Any

import pytest

from starflow_v.benchmark.comparison import Comparison, compare, differences


def report(totals: Sequence[float], *, evaluations: int = 10, **settings: object) -> dict[str, Any]:
    """Of one solver whose runs took so long in all."""
    middle = sorted(totals)[len(totals) // 2]

    def figures(total: float) -> dict[str, Any]:
        seconds = {"deep": total / 2, "shallow": total / 4, "total": total}
        return {
            "seconds": seconds,
            "first_frame_seconds": total / 8,
            "fps_steady": 8 / total,
        }

    row = {
        "solver": "ours",
        "guidance": 3.5,
        "evaluations": {"deep": evaluations, "shallow": 4},
        **figures(middle),
        "raw": [figures(total) for total in totals],
    }
    return {"settings": settings, "environment": {}, "results": [row]}


def by_name(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Comparison]:
    return {it.name: it for it in compare(before, after)}


def test_a_difference_within_the_spread_of_the_runs_is_noise() -> None:
    found = by_name(report([1.0, 1.0, 1.2]), report([1.1, 1.1, 1.1]))
    assert found["seconds.total"].floor == pytest.approx(0.2)
    assert found["seconds.total"].verdict == "noise" and found["seconds.total"].worsening == 0


def test_a_difference_beyond_it_is_none() -> None:
    found = by_name(report([1.0, 1.0, 1.2]), report([1.5, 1.5, 1.5]))
    assert found["seconds.total"].verdict == "worse"
    assert found["seconds.total"].worsening == pytest.approx(0.5)
    faster = by_name(report([1.0, 1.0, 1.2]), report([0.5, 0.5, 0.5]))
    assert faster["seconds.total"].verdict == "better" and faster["seconds.total"].worsening == 0


def test_more_frames_a_second_are_better() -> None:
    found = by_name(report([1.0, 1.0, 1.0]), report([2.0, 2.0, 2.0]))
    assert found["fps_steady"].change == pytest.approx(-0.5)
    assert found["fps_steady"].verdict == "worse"
    assert found["fps_steady"].worsening == pytest.approx(1.0)


def test_no_difference_under_one_percent_is_believed() -> None:
    found = by_name(report([1.0] * 3), report([1.009] * 3))
    assert found["seconds.total"].verdict == "noise"
    assert by_name(report([1.0] * 3), report([1.02] * 3))["seconds.total"].verdict == "worse"


def test_of_single_runs_nothing_is_known() -> None:
    found = by_name(report([1.0]), report([9.0]))
    assert found["seconds.total"].verdict == "noise" and found["seconds.total"].floor == math.inf


def test_evaluations_have_no_noise() -> None:
    found = by_name(report([1.0, 2.0]), report([1.0, 2.0], evaluations=11))
    assert found["evaluations.deep"].floor == 0 and found["evaluations.deep"].verdict == "worse"
    assert found["evaluations.shallow"].verdict == "same"


def test_a_single_frame_has_no_steady_rate() -> None:
    still = report([1.0])
    for figures in (still["results"][0], *still["results"][0]["raw"]):
        figures["fps_steady"] = None
    assert "fps_steady" not in by_name(still, still)


def test_solvers_of_one_report_alone_are_left_out_and_nothing_in_common_is_an_error() -> None:
    before, after = report([1.0]), report([1.0])
    before["results"] = [
        *before["results"],
        {**before["results"][0], "solver": "paper"},
    ]
    assert {it.solver for it in compare(before, after)} == {"ours"}
    after["results"][0]["guidance"] = 0.0
    with pytest.raises(ValueError, match=r"ours at 3\.5, paper at 3\.5, the other ours at 0"):
        compare(before, after)


def test_other_clips_are_told() -> None:
    assert differences(report([1.0], height=64), report([1.0], height=32)) == [
        "height was 64 and is 32"
    ]
    assert differences(report([1.0], seed=0), report([1.0], seed=1)) == ["seed was 0 and is 1"]
