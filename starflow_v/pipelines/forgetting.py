"""A video's own noise, part of which is forgotten.

    z' = sqrt(1 - s²)·z + s·fresh noise,        s the strength

Both are standard normal if the model knows such videos, so z' is, too.

*Editing by inversion* begins with z' in the place of noise. The denoiser is not exact on
the source: what it gets wrong there is known, and added to what is made in the same share, so that
a strength of 0 gives back the clean source and not its denoised copy.

*Editing by an instruction* has the source as its prefix, and any noise will do. But of all targets
of an instruction some are nearer to the source than others, and its own noise finds one: let z be
the noise under which the model, told nothing, would give the source back as its target. Told the
instruction, it then departs from the source where the instruction tells it to. What remains of z
there is the *fidelity*, sqrt(1 - s²).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from starflow_v.pipelines.run import Stage
from starflow_v.sampling.stages import Frames


def remembered(strength: float) -> float:
    """The share of the source's own noise."""
    return math.sqrt(1 - strength**2)


def forgotten(fidelity: float) -> float:
    """The strength that leaves this share of the source's own noise."""
    return math.sqrt(1 - fidelity**2)


def mix(z: Tensor, fresh: Frames, strength: float) -> Frames:
    """z (B, T, c, h, w) and as many fresh frames -> z' frame by frame."""
    for own, other in zip(z.split(1, dim=1), fresh, strict=True):
        yield remembered(strength) * own + strength * other


@dataclass(frozen=True, kw_only=True)
class CorrectedStage:
    """A denoiser, and in part what it gets wrong on the source.

    Args:
        denoise: the denoiser's stage.
        clean: latents of the source, (B, T, c, h, w).
        noisy: the same as the flow saw them.
        share: of the correction.
    """

    denoise: Stage
    clean: Tensor
    noisy: Tensor
    share: float

    def __call__(self, frames: Frames) -> Frames:
        source = zip(self.denoise(iter([self.noisy])), self.clean.split(1, dim=1), strict=True)
        for made in self.denoise(frames):
            cleaned, clean = next(source)
            yield made + self.share * (clean - cleaned)
