"""Does memory grow with the length of a video? Peaks of 200 and 2,000 frames.

    python benchmarks/long_memory.py
    python benchmarks/long_memory.py --model FOLDER --frames 200 2000

By `stream` in Python, and by `starflow-v generate -o out.mp4`, each in a process of its own. A peak
is the largest resident memory of that process, libraries, weights and all; `grown` is what the
longer video has above the shorter one, in its share.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from memory import STATUS
from report import environment, print_report

PROMPT = "a red circle moves right on a blue background"
WAYS = ("stream", "command")


def stream(model: Path, frames: int, folder: Path) -> None:
    """Make a video and keep nothing of it."""
    import torch

    from starflow_v import StarFlowVPipeline

    pipe = StarFlowVPipeline.from_pretrained(model)
    generator = torch.Generator().manual_seed(0)
    for _ in pipe.stream(PROMPT, num_frames=frames, generator=generator):
        pass


def command(model: Path, frames: int, folder: Path) -> None:
    """Make a file of it."""
    from starflow_v.cli.main import main

    output = str(folder / f"{frames}.mp4")
    sys.argv = ["starflow-v", "generate", PROMPT, "--seed", "0", "--frames", str(frames)]
    sys.argv += ["--model", str(model), "-o", output, "--overwrite"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code


def measure(way: str, model: Path, frames: int, folder: Path) -> int:
    """Bytes of the peak, in a process of its own."""
    place = [str(model), str(folder)]
    line = [sys.executable, __file__, "--only", way, *place, "--frames", str(frames)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way} of {frames} frames failed:\n{done.stderr}")
    return int(done.stdout.splitlines()[-1])


def peak() -> int:
    """Bytes of this process' peak. (`ru_maxrss` would count the process that started it, too.)"""
    status = dict(line.split(":", 1) for line in STATUS.read_text("ascii").splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def whole(frames: int) -> int:
    """The next higher 1 + 4k."""
    return 1 + -(-(frames - 1) // 4) * 4


def compare(model: Path, lengths: list[int], runs: int) -> dict[str, Any]:
    """Peaks and their growth, for each way."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            raw = {n: [measure(way, model, n, Path(folder)) for _ in range(runs)] for n in lengths}
            peaks = {n: median(values) for n, values in raw.items()}
            grown = peaks[lengths[-1]] / peaks[lengths[0]] - 1
            results[way] = {"peak_bytes": peaks, "grown": grown, "raw": raw}
            told = ", ".join(f"{n} frames {peak / 1e6:.1f} MB" for n, peak in peaks.items())
            print(f"{way:8} {told}: {100 * grown:+.1f} %", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=None, help="default: the embedded model")
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", nargs=3, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        way, model, folder = arguments.only
        {"stream": stream, "command": command}[way](Path(model), arguments.frames[0], Path(folder))
        print(peak())
        return
    from starflow_v.assets import embedded_model

    model = arguments.model or embedded_model()
    lengths = [whole(frames) for frames in sorted(arguments.frames)]
    print_report(
        "long_memory",
        settings={"frames": lengths, "runs": arguments.runs},
        environment=environment(model, device="cpu", dtype="float32", seed=0),
        results=compare(model, lengths, arguments.runs),
    )


if __name__ == "__main__":
    main()
