import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from starflow_v.cli.main import app
from starflow_v.planner import read_evaluations

QUICK = ["--runs", 2, "--warm-ups", 1, "--frames", 5, "--size", "32x32"]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


@pytest.fixture(scope="module")
def report(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A file of three solvers at two weights, and what the command printed."""
    path = tmp_path_factory.mktemp("benchmark") / "A.json"
    solvers = ["--solver", "sequential", "--solver", "ours:tolerance=1e-5"]
    weights = ["--guidance", 0, "--guidance", 2.5]
    tight = ["--solver", "paper-tight"]
    return path, command(pipeline, *QUICK, *solvers, *tight, *weights, "-o", path)


def test_every_solver_at_every_weight_has_a_row(report: tuple[Path, Result]) -> None:
    path, result = report
    assert result.exit_code == 0, result.output
    facts = json.loads(path.read_text("utf-8"))
    assert facts["environment"]["dtype"] == "float32"
    assert facts["settings"]["tokens_per_frame"] == 4 and facts["settings"]["latent_frames"] == 2
    rows = facts["results"]
    assert [(row["solver"], row["guidance"]) for row in rows] == [
        (name, weight)
        for weight in (0.0, 2.5)
        for name in ("sequential", "ours:tolerance=1e-5", "paper-tight")
    ]
    for row in rows:
        assert len(row["raw"]) == 2
        assert row["max_error"] < 1e-2 and row["backward_error"] < 1e-2
        stages = sum(value for name, value in row["seconds"].items() if name != "total")
        assert 0 < stages <= sum(run["seconds"]["total"] for run in row["raw"])
        assert row["fps"] == pytest.approx(5 / row["seconds"]["total"])
        assert row["first_frame_seconds"] > 0 and row["fps_steady"] > 0 and row["peak_bytes"] > 0
    assert rows[0]["evaluations"] == {"deep": 8, "shallow": 8}
    assert rows[0]["passes"] == {"deep": 1.0, "shallow": 2.0}
    assert rows[0]["max_error"] == 0 and rows[0]["backward_error"] < 1e-4
    assert rows[1]["parameters"]["tolerance"] == 1e-5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
def test_a_compiled_block_is_measured(pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "A.json"
    more = ["--solver", "ours", "--guidance", 0, "--compile", "-o", path]
    result = command(pipeline, *QUICK, *more)
    assert result.exit_code == 0, result.output
    facts = json.loads(path.read_text("utf-8"))
    assert facts["environment"]["compiled"] and facts["results"][0]["max_error"] < 1e-2


def test_the_table_has_a_line_for_each_row(report: tuple[Path, Result]) -> None:
    lines = [line for line in report[1].stdout.splitlines() if line]
    assert lines[-7].split()[:2] == ["solver", "guidance"]
    assert [line.split()[0] for line in lines[-3:]] == [
        "sequential",
        "ours:tolerance=1e-5",
        "paper-tight",
    ]


def test_the_planner_reads_the_file(report: tuple[Path, Result], pipeline: Path) -> None:
    schemes = read_evaluations(report[0])
    assert schemes[0].deep.passes == 1 and schemes[0].deep.span == 1
    assert schemes[0].shallow.passes == 1 and schemes[0].shallow.span == 1
    assert len({scheme.name for scheme in schemes}) == 6
    planned = CliRunner().invoke(app, ["plan", str(pipeline), "--evaluations", str(report[0])])
    assert planned.exit_code == 0 and "paper-tight, guidance 2.5" in planned.output


def test_a_report_is_the_same_as_itself(report: tuple[Path, Result]) -> None:
    result = command("compare", report[0], report[0], "--fail-over", "0%")
    assert result.exit_code == 0, result.output
    assert "same" in result.output and "worse" not in result.output


def test_what_became_slower_fails(report: tuple[Path, Result], tmp_path: Path) -> None:
    facts = json.loads(report[0].read_text("utf-8"))
    for row in facts["results"]:
        for figures in (row, *row["raw"]):
            figures["seconds"] = {name: 100 * it for name, it in figures["seconds"].items()}
    slower = tmp_path / "B.json"
    slower.write_text(json.dumps(facts))
    result = command("compare", report[0], slower, "--fail-over", "50%")
    assert result.exit_code == 1 and "cost over 50% more" in result.output
    assert command("compare", report[0], slower).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "no model at absent"),
        (["--solver", "newton"], "expected one of sequential, paper"),
        (["--solver", "paper:blocks=3"], "has no parameter 'blocks'; expected block_size"),
        (["--solver", "paper:tolerance"], "expected key=value"),
        (["--solver", "paper:norm=median"], "norm='median' is not known"),
        (["--solver", "sequential:tolerance=1"], "expected none"),
        (["--size", "big"], "expected WxH"),
        (["-o", "absent/A.json"], "there is no folder absent"),
        (["--size", "30x32"], "expected multiples of 16"),
        (["--solver", "paper-tight", "--no-reference"], "needs the sequential answer"),
        (["compare", "absent.json", "absent.json"], "absent.json cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], message: str, pipeline: Path
) -> None:
    given = arguments if arguments[0] in ("absent", "compare") else [pipeline, *arguments]
    result = command(*given)
    assert result.exit_code == 2 and message in result.output, result.output


@pytest.mark.parametrize("content", ["[]", "{}", '{"settings": {}, "results": [{"solver": "a"}]}'])
def test_other_json_is_no_report(content: str, tmp_path: Path) -> None:
    path = tmp_path / "A.json"
    path.write_text(content)
    result = command("compare", path, path)
    assert result.exit_code == 2 and "A.json is no report" in result.output


def test_a_file_that_is_there_is_kept(pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "A.json"
    path.write_text("mine")
    result = command(pipeline, "-o", path)
    assert result.exit_code == 2 and path.read_text() == "mine"


def test_compiled_and_not_are_told_apart(report: tuple[Path, Result], tmp_path: Path) -> None:
    facts = json.loads(report[0].read_text("utf-8"))
    facts["environment"]["compiled"] = True
    other = tmp_path / "B.json"
    other.write_text(json.dumps(facts), "utf-8")
    assert "compiled was False and is True" in command("compare", report[0], other).output
