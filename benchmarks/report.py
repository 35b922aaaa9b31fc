"""What every benchmark ends with: one JSON line that says what was measured, on what, and how."""

import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

import starflow_v


def weights_hash(folder: Path) -> str:
    """SHA-256 over a model folder's weights, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def environment(model: Path | None, *, device: str, dtype: str, seed: int) -> dict[str, Any]:
    """Versions, machine and weights (of no model: None)."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "starflow_v": starflow_v.__version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "seed": seed,
        "commit": commit.stdout.strip() or None,
        "weights_sha256": None if model is None else weights_hash(model),
    }


def print_report(
    name: str, *, settings: dict[str, Any], environment: dict[str, Any], results: dict[str, Any]
) -> None:
    """The last line of a benchmark."""
    line = {
        "benchmark": name,
        "settings": settings,
        "environment": environment,
        "results": results,
    }
    print(json.dumps(line))
