"""What a call gets that does not say otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The model's training, mostly."""

    height: int
    width: int
    num_frames: int
    frame_rate: int
    guidance_scale: float
    edit_guidance_scale: float | None
    edit_fidelity: float

    def guidance_of(self, *, instruction: bool) -> float:
        """w where none is given: of an edit by an instruction its own, if the model has one."""
        own = self.edit_guidance_scale
        return own if instruction and own is not None else self.guidance_scale
