"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels with 17 levels.

They ship with the package (the extra `digits`); nothing is downloaded. Of every ten images, by
their order in the set, two are for *testing* and one more for *validation*.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = 17
"""Gray levels, 0 to 16."""
CLASSES = tuple("0123456789")
"""Names of the classes."""

Part = Literal["train", "validation", "test"]


class Digits(NamedTuple):
    """Images (n,8,8) of whole numbers 0 .. 16, and their classes (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def clips(self) -> NDArray[np.uint8]:
        """As videos of one frame, (n,1,8,8,3), their levels spread over 0 .. 255."""
        gray = np.round(self.images * (255 / (LEVELS - 1))).astype(np.uint8)
        return gray[:, None, :, :, None].repeat(3, axis=-1)


def read_digits(*parts: Part) -> Digits:
    """The images of some parts, in their order.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits are part of scikit-learn: pip install 'starflow_v[digits]'"
        ) from error
    data = load_digits()
    wanted = np.isin([part_of(index) for index in range(len(data.images))], parts)
    return Digits(data.images[wanted].astype(np.uint8), data.target[wanted].astype(np.int64))


def part_of(index: int) -> Part:
    """Which part an image belongs to, by its number."""
    if index % 5 == 4:
        return "test"
    return "validation" if index % 10 == 3 else "train"
