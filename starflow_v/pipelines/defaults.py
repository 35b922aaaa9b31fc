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
    untold_guidance: float
    edit_fidelity: float

    def of_edits(self, *, masked: bool) -> tuple[float, float]:
        """w and the fidelity of an edit by an instruction that says neither.

        What a mask hides has no noise of its own: it is made as a new video is.
        """
        if masked:
            return self.guidance_scale, 0.0
        own = self.edit_guidance_scale
        return self.guidance_scale if own is None else own, self.edit_fidelity
