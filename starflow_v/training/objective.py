"""From a configuration to the recipe that it is for: `objective` says which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starflow_v.config import load_config, read_dictionary
from starflow_v.training.flow import train_flow
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.matching import train_matching
from starflow_v.training.matching_settings import OBJECTIVE, MatchingSettings

LIKELIHOOD = "likelihood"


def train_model(config: str | Path, overrides: Sequence[str] = ()) -> Path | None:
    """Train what a configuration describes: a flow, or a velocity if `objective: flow_matching`.

    Returns the folder of what is exported, or None if the run was stopped before its end.
    """
    matching = objective_of(read_dictionary(config), overrides) == OBJECTIVE
    return (train_matching if matching else train_flow)(config, overrides)


def load_settings(
    config: str | Path, overrides: Sequence[str] = ()
) -> FlowSettings | MatchingSettings:
    """The settings that a configuration is for."""
    if objective_of(read_dictionary(config), overrides) == OBJECTIVE:
        return load_config(MatchingSettings, config, overrides)
    return load_config(FlowSettings, config, overrides)


def objective_of(given: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """`likelihood` or `flow_matching`: the last override that says so, else the file."""
    said = [text.partition("=")[2] for text in overrides if text.startswith("objective=")]
    objective = str([given.get("objective", LIKELIHOOD), *said][-1])
    if objective not in (LIKELIHOOD, OBJECTIVE):
        raise ValueError(f"objective is {objective!r}; expected {LIKELIHOOD} or {OBJECTIVE}")
    return objective
