"""The likelihood of noised latents under flow matching, where a flow is trained on noised latents.

Flow matching passes the noise level sigma on its way to clean latents: with t = 1/(1 + sigma),
t·(clean + sigma · eps) lies where its paths are at time t. So log p(x) is the log density there
(Hutchinson's estimate along the path back to noise) plus log t for each dimension. Its past frames
are clean, those of a flow noisy: a comparison of the two favours flow matching.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from embedded_quality import SEED
from torch import Generator, Tensor

from starflow_v import StarFlowVPipeline
from starflow_v.baselines.flow_matching import interpolate
from starflow_v.baselines.integrators import Euler
from starflow_v.baselines.likelihood import HutchinsonTrace, log_likelihood, random_signs
from starflow_v.data.pixels import to_frames

STEPS = 50
BATCH = 10


def matching_bits(pipe: StarFlowVPipeline, scenes: Sequence[Any], sigma: float) -> float:
    """Bits per dimension of x = clean + sigma · eps, the mean over clips.

    Args:
        pipe: flow matching.
        scenes: clips (F, H, W, 3), uint8, and their captions.
        sigma: the noise of the flow that it is compared with.
    """
    stop = 1 / (1 + sigma)
    pipe.flow.requires_grad_(False)
    bits = []
    for first in range(0, len(scenes), BATCH):
        clips, captions = zip(*scenes[first : first + BATCH], strict=True)
        with torch.no_grad():
            clean = pipe.codec.encode(to_frames(clips))
            text, _ = pipe.encode_prompt(list(captions), do_classifier_free_guidance=False)
        generator = Generator().manual_seed(SEED + first)
        eps = torch.randn(clean.shape, generator=generator)
        x = interpolate(eps, clean, torch.full(clean.shape[:1], stop))

        def velocity(
            share: Tensor, x: Tensor, clean: Tensor = clean, text: Tensor = text
        ) -> Tensor:
            times = (stop * share).expand(clean.shape[:2])
            return stop * pipe.flow(x, times, clean, text)

        signs = random_signs(x, count=1, generator=generator)
        there = log_likelihood(
            velocity, x, integrator=Euler(STEPS), divergence=HutchinsonTrace(signs)
        )
        dimensions = clean[0].numel()
        bits.append(-(there / dimensions + math.log(stop)) / math.log(2))
    return float(torch.cat(bits).mean())
