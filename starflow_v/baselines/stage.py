"""The causal velocity as a stage: noise in, clean latents out, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field

from starflow_v.baselines.causal_velocity import CausalVelocityModel
from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Integrator
from starflow_v.flow.solver import Cost
from starflow_v.flow.texts import Texts
from starflow_v.flow.window import Window
from starflow_v.sampling.stages import Frames, one_by_one


@dataclass
class VelocityStage:
    """Noise -> clean latents. Arguments as `CausalVelocityModel.solve_frames`."""

    model: CausalVelocityModel
    texts: Texts
    frames: int
    integrator: Integrator
    guidance: VelocityGuidance
    window: Window | None = None
    restart: Texts | None = None
    cost: Cost = field(default=Cost(), init=False)

    def __call__(self, noise: Frames) -> Frames:
        for frame, cost in self.model.solve_frames(
            one_by_one(noise),
            self.texts,
            frames=self.frames,
            integrator=self.integrator,
            guidance=self.guidance,
            window=self.window,
            restart=self.restart,
        ):
            self.cost += cost
            yield frame


@dataclass
class NothingToDo:
    """Hands on what comes: flow matching has no local half, and its frames are clean."""

    cost: Cost = field(default=Cost(), init=False)

    def __call__(self, frames: Frames) -> Frames:
        yield from one_by_one(frames)
