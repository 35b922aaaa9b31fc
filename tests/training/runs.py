"""Tiny runs: a codec with random weights, and a configuration beside it."""

from pathlib import Path

import torch

from tests.pipelines.conftest import tiny_vae


def write_run(folder: Path, text: str) -> Path:
    """Write the codec that a configuration's text names, and the text; returns its path."""
    torch.manual_seed(0)
    tiny_vae().save_pretrained(folder / "vae")
    (folder / "vae" / "statistics.json").write_text('{"temporal_scale": 0.8}')
    path = folder / "tiny.yaml"
    path.write_text(text.format(folder=folder))
    return path
