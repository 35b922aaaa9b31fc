"""The configuration of a flow-matching run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from starflow_v.baselines.couplings import (
    Coupling,
    IndependentCoupling,
    OptimalTransportCoupling,
    WeightedCoupling,
)
from starflow_v.data.buckets import BEGUN
from starflow_v.training.flow_settings import LatentSettings

OBJECTIVE = "flow_matching"
"""What `objective` says in the configuration of such a run."""

COUPLINGS = ("independent", "optimal_transport", "weighted")


@dataclass(frozen=True, kw_only=True)
class VelocityShape:
    """The network's architecture, see `starflow_v.CausalVelocityModel`; the codec gives the
    channels."""

    patch_size: int = 1
    width: int = 192
    layers: int = 10
    head_dim: int = 64
    reference_size: float = 4.0


@dataclass(frozen=True, kw_only=True)
class MatchingSettings(LatentSettings):
    """Everything that a flow-matching run needs."""

    objective: str = OBJECTIVE
    coupling: str = "independent"
    """Which noise goes with which frame: independent (I-CFM), optimal_transport (OT-CFM) or
    weighted (W-CFM)."""
    kappa: float | None = None
    """Scale of the weights, eps = kappa·sqrt(d); None: the elbow for the latents of the task that
    is drawn most often."""
    velocity: VelocityShape = field(default_factory=VelocityShape)
    num_inference_steps: int = 20
    """Euler steps a frame, by default, of the exported pipeline."""

    @property
    def token_side(self) -> int:
        return self.velocity.patch_size

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective != OBJECTIVE:
            raise ValueError(f"objective is {self.objective!r}; expected {OBJECTIVE!r}")
        if self.coupling not in COUPLINGS:
            raise ValueError(
                f"coupling is {self.coupling!r}; expected one of {', '.join(COUPLINGS)}"
            )
        if self.kappa is not None and self.coupling != "weighted":
            raise ValueError(f"kappa={self.kappa} is for coupling=weighted, not {self.coupling}")
        if self.kappa is not None and not 0 < self.kappa < math.inf:
            raise ValueError(f"kappa={self.kappa} is not valid: give a number above 0, or null")
        if self.noise_std != 0:
            raise ValueError(
                f"noise_std={self.noise_std}, but flow matching learns clean latents: set it to 0"
            )
        for task in self.data.wanted.keys() & set(BEGUN):
            raise ValueError(
                f"the task {task} shows frames at their places in a clip, which flow matching "
                f"does not know: set data.tasks.{task}=0"
            )


def make_coupling(settings: MatchingSettings, kappa: float) -> Coupling:
    """The coupling that the settings name; `kappa` is for the weighted one."""
    if settings.coupling == "weighted":
        return WeightedCoupling(kappa)
    if settings.coupling == "optimal_transport":
        return OptimalTransportCoupling()
    return IndependentCoupling()
