"""Guidance: affine parameters as a function of conditional and unconditional ones.

Two rules: `DensityGuidance` is STARFlow's, `LinearGuidance` the older one of TARFlow. Where the two
predictions agree, both leave them alone; where they differ much and w is large, the linear rule
goes straight on through the difference, while the density's shift stays where the data are.

The unconditional branch reads the null text. A model that is told nothing has no other branch, but
can be guided away from a worse version of itself: with a `temperature` the logits of attention in
that branch are divided by it (TARFlow, arXiv 2412.06329). Above 1 attention is spread more evenly
over what is known, so the branch heeds it less.

`EachVideo` is a rule for each video of a batch, where some are to be guided less than others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from starflow_v.flow.affine import AffineParams


class Guidance(Protocol):
    """A rule that sharpens a condition. It is applied in the deep block only."""

    @property
    def weight(self) -> float:
        """w; 0 is the conditional model itself."""

    @property
    def temperature(self) -> float:
        """What the logits of attention are divided by in the unconditional branch."""

    @property
    def active(self) -> bool:
        """Whether the unconditional parameters are needed at all."""

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        """The parameters to sample with."""


@dataclass(frozen=True)
class _Weighted:
    """What both rules are told, checked."""

    weight: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"guidance weight {self.weight} is not valid: give 0 (off) or more")
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"attention temperature {self.temperature} is not valid: give a number above 0, "
                "such as 1.5 (1: attention as trained)"
            )

    @property
    def active(self) -> bool:
        return self.weight > 0


@dataclass(frozen=True)
class DensityGuidance(_Weighted):
    """The density p_c · (p_c / p_u)^w of two Gaussians, kept proper (STARFlow, arXiv 2506.06276).

    With s = min(scale_c / scale_u, 1)²,

        scale = scale_c / sqrt(1 + w - w·s),
        shift = ((1 + w)·shift_c - w·s·shift_u) / (1 + w - w·s).

    Args:
        weight: w; 0 is the conditional model itself.
        temperature: of attention in the unconditional branch; 1: as trained.
    """

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        w = self.weight
        s = (conditional.scale / unconditional.scale).clamp(max=1).square()
        precision = 1 + w - w * s
        shift = ((1 + w) * conditional.shift - w * s * unconditional.shift) / precision
        return AffineParams(shift, conditional.scale / precision.sqrt())


@dataclass(frozen=True)
class LinearGuidance(_Weighted):
    """Away from the unconditional parameters in a straight line (TARFlow, arXiv 2412.06329).

        shift = (1 + w)·shift_c - w·shift_u,        log scale = (1 + w)·log scale_c - w·log scale_u.

    It was meant for weights of a few: beyond, it leaves the data.

    Args:
        weight: w; 0 is the conditional model itself.
        temperature: of attention in the unconditional branch; 1: as trained.
    """

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        w = self.weight
        shift = (1 + w) * conditional.shift - w * unconditional.shift
        ratio = conditional.scale / unconditional.scale
        return AffineParams(shift, conditional.scale * ratio**w)


@dataclass(frozen=True)
class EachVideo:
    """A rule of its own for each video of a batch.

    Args:
        rules: in the order of the videos, of one temperature: there is one unconditional branch.

    Raises:
        ValueError: if there is no rule, or temperatures differ; when called, if there are not as
            many videos.
    """

    rules: Sequence[Guidance]

    def __post_init__(self) -> None:
        temperatures = sorted({rule.temperature for rule in self.rules})
        if len(temperatures) != 1:
            raise ValueError(
                f"rules with the attention temperatures {temperatures} were given: give one rule "
                "or more, all of the same temperature"
            )

    @property
    def weight(self) -> float:
        """The largest."""
        return max(rule.weight for rule in self.rules)

    @property
    def temperature(self) -> float:
        return self.rules[0].temperature

    @property
    def active(self) -> bool:
        return any(rule.active for rule in self.rules)

    def __call__(self, conditional: AffineParams, unconditional: AffineParams) -> AffineParams:
        count = len(self.rules)
        if len(conditional.shift) != count:
            raise ValueError(
                f"{count} rules of guidance and {len(conditional.shift)} videos were given: give "
                "one rule for each video"
            )
        params = (conditional.shift, conditional.scale, unconditional.shift, unconditional.scale)
        videos = zip(*(each.split(1) for each in params), strict=True)
        guided = [
            rule(AffineParams(*video[:2]), AffineParams(*video[2:]))
            for rule, video in zip(self.rules, videos, strict=True)
        ]
        shifts, scales = zip(*((it.shift, it.scale) for it in guided), strict=True)
        return AffineParams(torch.cat(shifts), torch.cat(scales))
