"""Regions of the picture that a mask hides: what inpainting and outpainting fill."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """A rectangle in fractions of width and height: what a mask hides, or all that it leaves."""

    left: float
    top: float
    right: float
    bottom: float
    hides_inside: bool = True

    def mask(self, *, height: int, width: int) -> NDArray[np.bool_]:
        """(H,W), True where the picture is hidden."""
        x = (np.arange(width) + 0.5) / width
        y = ((np.arange(height) + 0.5) / height)[:, None]
        inside = (x > self.left) & (x < self.right) & (y > self.top) & (y < self.bottom)
        return inside if self.hides_inside else ~inside
