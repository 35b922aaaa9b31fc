"""What a run no longer needs once it has a checkpoint: the weights that it began with."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from starflow_v.training.engine.checkpoint import list_checkpoints
from starflow_v.training.flow_settings import FlowSettings
from starflow_v.training.matching_settings import MatchingSettings
from starflow_v.training.vae.settings import CodecSettings

Settings = TypeVar("Settings", bound=FlowSettings | MatchingSettings | CodecSettings)


def resumed(settings: Settings) -> Settings:
    """Settings without `initialize`, for a recipe that is given a checkpoint next: the folder may
    be gone by then. Only the base of an adapter, networks that are frozen, and the statistics of a
    frozen encoder are in no checkpoint."""
    if isinstance(settings, MatchingSettings):
        return settings
    if isinstance(settings, FlowSettings) and (settings.lora is not None or settings.frozen):
        return settings
    if isinstance(settings, CodecSettings) and settings.freeze_encoder:
        return settings
    return replace(settings, initialize=None)


def resumed_if_begun(settings: Settings) -> Settings:
    """The same for a run whose folder may hold a checkpoint already."""
    return resumed(settings) if list_checkpoints(settings.trainer.checkpoints) else settings
