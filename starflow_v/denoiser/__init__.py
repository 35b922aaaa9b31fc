"""Denoising: from the noisy latents x = clean + sigma · eps that the flow models to clean ones.

Tweedie's formula gives the mean of the clean latents from the score of the flow,

    E[clean | x] = x + sigma² ∇log p(x) = x - sigma² ∂NLL/∂x.

`score` takes that gradient through the flow itself, so it needs all frames. `causal` is a network
that has learned it from past and few later frames, and so it streams. `kept` leaves it to the
decoder.
"""

from starflow_v.denoiser.causal import SCORE_UNIT, CausalDenoiser
from starflow_v.denoiser.choice import cleaner_of
from starflow_v.denoiser.kept import AsTheyAre
from starflow_v.denoiser.score import ScoreDenoiser

__all__ = ["SCORE_UNIT", "AsTheyAre", "CausalDenoiser", "ScoreDenoiser", "cleaner_of"]
