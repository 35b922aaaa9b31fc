"""The likelihood of a clip, frame by frame, as a curve in SVG, and the frames under a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from starflow_v.cli.common.scoring import plus_minus
from starflow_v.evaluation.heat_map import heat_map
from starflow_v.studio import preview
from starflow_v.studio.workshop import Scoring

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 14, 34
"""Room for the numbers around the curve."""
TICKS = 4


def report(job: Scoring) -> str:
    """Everything that a score tells."""
    assert job.found is not None, "only a score that is there is shown"
    given, score = job.found
    frames = given.frames
    painted = heat_map(frames, score.token_bits.numpy())
    pairs = preview.small(preview.beside(frames, painted)[: preview.LONGEST])
    both = preview.moving(pairs, given.frame_rate)
    bits, errors = score.frame_bits.tolist(), score.frame_errors.tolist()
    ratio = f"{2 * frames.shape[2] + preview.GAP}/{frames.shape[1]}"
    return (
        f'<p class="total"><b>{plus_minus(score.bits, score.error)}</b> bits per latent dimension; '
        "fewer: the model expects it more</p>"
        f'<div class="screen sharp"><div class="picture pair" style="aspect-ratio:{ratio}">'
        f'<img alt="the clip, and a heat map of its bits" src="{both}"></div>'
        '<div class="sides"><span>clip</span><span>where the bits are: '
        '<i class="few"></i> few <i class="many"></i> many</span></div></div>'
        + line_chart(bits, errors)
    )


def line_chart(values: Sequence[float], errors: Sequence[float]) -> str:
    """Bits of each latent frame, with bars of two standard errors to either side."""
    spread = [0.0 if math.isnan(error) else 2 * error for error in errors]
    low = min(value - error for value, error in zip(values, spread, strict=True))
    high = max(value + error for value, error in zip(values, spread, strict=True))
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(place: int) -> float:
        share = place / (len(values) - 1) if len(values) > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    points = [(x(place), y(value)) for place, value in enumerate(values)]
    bars = "".join(
        f'<line class="error" x1="{across:.1f}" x2="{across:.1f}" y1="{y(value - error):.1f}" '
        f'y2="{y(value + error):.1f}"/>'
        for (across, _), value, error in zip(points, values, spread, strict=True)
        if error
    )
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    dots = "".join(
        f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4"><title>latent frame {place + 1}: '
        f"{values[place]:.3f} bits</title></circle>"
        for place, (across, down) in enumerate(points)
    )
    grid = "".join(_rule(value, y(value)) for value in np.linspace(low, high, TICKS))
    step = max(1, len(values) // 8)
    names = "".join(
        f'<text x="{x(place):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{place + 1}</text>'
        for place in range(0, len(values), step)
    )
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="bits of each latent frame">{grid}{bars}<polyline points="{path}"/>{dots}'
        f"{names}</svg><p class='axis'>bits per dimension of each latent frame, given those "
        "before it</p>"
    )


def _rule(value: float, down: float) -> str:
    return (
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down:.1f}" y2="{down:.1f}"/>'
        f'<text x="{LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    )
