"""What was measured: for people a table, for programs JSON with how and on what."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch

import starflow_v
from starflow_v.benchmark.campaign import Campaign, Row

COLUMNS = (
    "solver",
    "guidance",
    "evaluations",
    "passes",
    "deep s",
    "shallow s",
    "total s",
    "first s",
    "fps",
    "backward",
    "max error",
    "MB",
)


def describe(campaign: Campaign, rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, environment and results, as every benchmark has them.

    Args:
        campaign: what was asked for.
        rows: what was found.
        about: the environment.
    """
    clip, pipe = campaign.clip, campaign.pipe
    factor = pipe.size_multiple
    settings = asdict(clip) | {
        "guidance": list(campaign.weights),
        "solvers": list(campaign.solvers),
        "runs": campaign.runs,
        "warm_ups": campaign.warm_ups,
        "clock": campaign.clock.__name__,
        "latent_frames": pipe.codec.latent_frames(clip.num_frames),
        "tokens_per_frame": (clip.height // factor) * (clip.width // factor),
        "shallow_blocks": len(pipe.flow.shallow.blocks),
    }
    return {
        "benchmark": "solvers",
        "settings": settings,
        "environment": dict(about),
        "results": [asdict(row) for row in rows],
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each row of the results, under a head."""
    lines = [COLUMNS, *(tuple(_cells(row)) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    evaluations, passes, seconds = row["evaluations"], row["passes"], row["seconds"]
    yield row["solver"]
    yield f"{row['guidance']:g}"
    yield f"{evaluations['deep']} + {evaluations['shallow']}"
    yield f"{passes['deep']:.1f} + {passes['shallow']:.1f}"
    yield from (_short(seconds[name]) for name in ("deep", "shallow", "total"))
    yield _short(row["first_frame_seconds"])
    yield _short(row["fps"])
    yield f"{row['backward_error']:.1e}"
    yield "-" if row["max_error"] is None else f"{row['max_error']:.1e}"
    yield f"{row['peak_bytes'] / 1e6:.0f}"


def _short(number: float) -> str:
    """Three digits that matter."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def weights_hash(*folders: Path) -> str:
    """SHA-256 over the weights of models' folders, in the order of their names."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def environment(model: Path | None, *, device: str, dtype: str, seed: int) -> dict[str, Any]:
    """Versions, machine and weights (of no model: None)."""
    return {
        "starflow_v": starflow_v.__version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "seed": seed,
        "commit": _commit(),
        "weights_sha256": None if model is None else weights_hash(model),
    }


def _commit() -> str | None:
    """Of the checkout that the package lies in; None where it was installed."""
    root = Path(starflow_v.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    asked = ["git", "rev-parse", "HEAD"]
    try:
        told = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return told.stdout.strip() or None
