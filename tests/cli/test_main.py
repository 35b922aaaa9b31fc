import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starflow_v import __version__
from starflow_v.cli.main import app, main
from starflow_v.data.video_io import read_video

COMMANDS = (
    "generate",
    "animate",
    "extend",
    "edit",
    "score",
    "rank",
    "sample",
    "info",
    "benchmark",
    "cache",
    "train",
    "train-vae",
    "export",
    "convert",
)
HEAVY = ("torch", "numpy", "av", "diffusers", "transformers", "omegaconf", "rich", "pydantic")
STARFLOW_V = (sys.executable, "-m", "starflow_v.cli.main")


def test_no_help_page_imports_anything_heavy() -> None:
    program = f"""
import sys
from typer.testing import CliRunner
from starflow_v.cli.main import app
for command in [[], *([name] for name in {COMMANDS})]:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0 and "Usage: " in result.output, result.output
print([name for name in {HEAVY} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")


@pytest.mark.slow
def test_help_is_instant() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([*STARFLOW_V, "generate", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_every_command_is_listed_with_a_sentence() -> None:
    result = CliRunner().invoke(app, ["--help"])
    lines = [line.split() for line in result.output.splitlines()]
    for command in COMMANDS:
        assert any(line[:1] == [command] and len(line) > 3 for line in lines)


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["generate", "--frobnicate"], ["info", "a", "b"]]
)
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "Usage:" in result.output


def test_the_version_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["starflow-v", "--version"])
    main()
    assert capsys.readouterr().out == f"starflow-v {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_end_in_the_middle_leaves_a_shorter_valid_video(
    pipeline: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    """SIGTERM, by which batch systems end what runs too long, left a file that does not play."""
    video = tmp_path / "out.mp4"
    arguments = ["generate", "red", "--model", str(pipeline), "-o", str(video), "--frames", "4001"]
    process = subprocess.Popen([*STARFLOW_V, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not video.with_name("out.mp4.part").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: " in errors and "of 4001 frames" in errors and "Traceback" not in errors
    frames = read_video(video).frames
    record = json.loads(video.with_suffix(".json").read_text("utf-8"))
    assert 0 < len(frames) == record["frames"] < 4001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.mp4"]
