"""The folder of a pipeline -> a checkpoint of the released layout, for others' tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file

from starflow_v.checkpoints.description import describe_models
from starflow_v.checkpoints.parts import weight_files
from starflow_v.checkpoints.released import export_released
from starflow_v.config import to_yaml
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel

Model = TypeVar("Model", StarFlowModel, CausalDenoiser)

SUFFIXES = (".pth", ".pt")


def export_folder(folder: Path, target: Path) -> Path:
    """Write flow and denoiser as a pickle of tensors, and beside it what they are, as YAML.

    `starflow-v convert FILE.pth --config FILE.yaml` makes the same flow and denoiser again. VAE and
    text encoder are left out: the released ones are separate, too.

    Args:
        folder: a pipeline's. Its weights are mapped, and written in the precision that they have.
        target: a new file .pth, or a folder for `checkpoint.pth`.

    Returns:
        The file.
    """
    path = released_file(target)
    settings = json.loads((folder / "model_index.json").read_text("utf-8"))
    flow, denoiser = _mapped(StarFlowModel, folder / "flow"), None
    if settings.get("denoiser", [None, None]) != [None, None]:
        denoiser = _mapped(CausalDenoiser, folder / "denoiser")
    state = export_released(flow, denoiser)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    try:
        torch.save(state, partial)
        description = to_yaml(describe_models(flow, denoiser, settings))
        path.with_suffix(".yaml").write_text(description, encoding="utf-8")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def released_file(target: Path) -> Path:
    """The file that `target` means; a `ValueError` if it is there already."""
    path = target if target.suffix in SUFFIXES else target / "checkpoint.pth"
    if target.is_file() or path.exists() or path.with_suffix(".yaml").exists():
        raise ValueError(
            f"{path} and its .yaml are there already, in part: give a new name in .pth"
        )
    return path


def _mapped(kind: type[Model], folder: Path) -> Model:
    """A model whose parameters are its files, mapped into memory."""
    with torch.device("meta"):
        model: Model = kind.from_config(kind.load_config(folder))
    weights = {key: it for file in weight_files(folder) for key, it in load_file(file).items()}
    model.load_state_dict(weights, assign=True)
    return model
