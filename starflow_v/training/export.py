"""A checkpoint of a run -> what `from_pretrained` reads, with the averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starflow_v.config import from_dictionary
from starflow_v.training.engine.checkpoint import load_checkpoint
from starflow_v.training.engine.recipe import Recipe
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.recipes import described_settings, recipe_of
from starflow_v.training.resuming import resumed
from starflow_v.training.vae.codec import CodecRecipe
from starflow_v.training.vae.settings import CodecSettings


def export_checkpoint(checkpoint: Path, folder: Path) -> Path:
    """Write the pipeline (of a flow's run) or the VAE (of a codec's run) into `folder`.

    Args:
        checkpoint: a folder such as runs/embedded/checkpoints/step-00001000.
        folder: where to; it must not exist or be empty.

    Raises:
        ValueError: if the folder is not empty, or the checkpoint is none.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a new folder")
    saved = load_checkpoint(checkpoint)
    trainer = _trainer(saved.state["description"])
    trainer.restore(saved)
    trainer.export(folder)
    return folder


def _trainer(description: Mapping[str, Any]) -> Trainer[Any]:
    """The run that the checkpoint describes, in this process alone."""
    recipe: Recipe[Any]
    if "curriculum" in description:
        codec = from_dictionary(CodecSettings, description)
        settings, recipe = codec.trainer, CodecRecipe(resumed(codec))
    else:
        described = described_settings(description)
        settings, recipe = described.trainer, recipe_of(resumed(described))
    alone = replace(settings, shard=False, compile=False)
    return Trainer(recipe, alone, description=description)
