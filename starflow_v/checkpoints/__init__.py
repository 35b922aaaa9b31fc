"""Checkpoints of other layouts."""

from starflow_v.checkpoints.released import convert_released

__all__ = ["convert_released"]
