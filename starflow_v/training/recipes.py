"""From a configuration to what it trains: `objective` and the settings say which recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starflow_v.config import from_dictionary, load_config, read_dictionary, to_dictionary
from starflow_v.training.engine.trainer import Trainer
from starflow_v.training.flow import FlowRecipe
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.likelihood import LikelihoodRecipe
from starflow_v.training.matching import MatchingRecipe
from starflow_v.training.matching_settings import OBJECTIVE, MatchingSettings
from starflow_v.training.resuming import resumed_if_begun

LIKELIHOOD = "likelihood"
SETTINGS: dict[str, type[FlowSettings | MatchingSettings]] = {
    LIKELIHOOD: FlowSettings,
    OBJECTIVE: MatchingSettings,
}


def train_model(config: str | Path, overrides: Sequence[str] = ()) -> Path | None:
    """Train (or go on training) what a configuration describes.

    Returns the folder of the exported pipeline (or adapter), or None if the run was stopped before
    its end.
    """
    settings = load_settings(config, overrides)
    recipe = recipe_of(resumed_if_begun(settings))
    recipe.prepare_data()
    trainer: Trainer[Any] = Trainer(recipe, settings.trainer, description=to_dictionary(settings))
    if trainer.run() < settings.trainer.steps:
        return None
    exported = Path(settings.trainer.folder) / recipe.exported
    trainer.export(exported)
    return exported


def load_settings(
    config: str | Path, overrides: Sequence[str] = ()
) -> FlowSettings | MatchingSettings:
    """The settings that a configuration is for."""
    objective = objective_of(read_dictionary(config), overrides)
    return load_config(SETTINGS[objective], config, overrides)


def described_settings(description: Mapping[str, Any]) -> FlowSettings | MatchingSettings:
    """The settings that a checkpoint was trained with."""
    return from_dictionary(SETTINGS[objective_of(description)], description)


def recipe_of(
    settings: FlowSettings | MatchingSettings,
) -> FlowRecipe | LikelihoodRecipe | MatchingRecipe:
    """What is trained: a velocity, a flow alone, or a flow with its denoiser."""
    if isinstance(settings, MatchingSettings):
        return MatchingRecipe(settings)
    return LikelihoodRecipe(settings) if settings.denoiser is None else FlowRecipe(settings)


def objective_of(given: Mapping[str, Any], overrides: Sequence[str] = ()) -> str:
    """`likelihood` or `flow_matching`: the last override that says so, else the file."""
    said = [text.partition("=")[2] for text in overrides if text.startswith("objective=")]
    objective = str([given.get("objective", LIKELIHOOD), *said][-1])
    if objective not in SETTINGS:
        raise ValueError(f"objective is {objective!r}; expected {' or '.join(SETTINGS)}")
    return objective
