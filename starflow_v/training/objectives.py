"""Training objectives as pure functions.

The flow is trained by exact likelihood on noisy latents x = clean + sigma · eps (STARFlow-V):

    NLL per element = mean(z²/2 - log |dz/dx|)            (without the constant log(2π)/2).

The denoiser is trained by flow-score matching (STARFlow-V): it regresses the score of the
flow, which the backward pass of the NLL leaves in x.grad at no cost,

    target = sigma²/0.3 · ∂NLL/∂x,      NLL summed over all elements.

The image model adds a penalty on what lies between its blocks z_1 .. z_K (STARFlow, weight 1e-4),

    Σ_{b<K} mean(z_b²),

which no likelihood holds in place: what one block scales up, the next can scale down.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from starflow_v.denoiser import SCORE_UNIT
from starflow_v.flow.likelihood import LOG_TAU, bits, token_log_prob


def add_noise(latents: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
    """x = latents + sigma · eps.

    Args:
        latents: clean latents, (B, T, c, h, w).
        sigma: standard deviation of each sample's noise, (B,).
        eps: standard normal noise like `latents`.
    """
    return latents + per_sample(sigma, latents) * eps


def negative_log_likelihood(z: Tensor, log_det: Tensor, weights: Tensor | None = None) -> Tensor:
    """NLL of each sample in nats per element, without the constant, (B,).

    Args:
        z: (B, T, c, h, w).
        log_det: log |dz/dx| of each token, (B, T, rows, columns).
        weights: what each token counts for, like `log_det`; `None`: 1.
    """
    elements = z[0].numel()
    tokens = -token_log_prob(z, log_det) - LOG_TAU / 2 * elements / log_det[0].numel()
    if weights is not None:
        tokens = weights * tokens
    return tokens.flatten(1).sum(1) / elements


def latent_norm(between: Iterable[Tensor]) -> Tensor:
    """Σ mean(z_b²), a number.

    Args:
        between: the outputs of all blocks but the last, any shape with the batch first.
    """
    return sum((z.square().mean() for z in between), start=torch.zeros(()))


def noise_weight(sigma: Tensor) -> Tensor:
    """Weight of a sample's NLL where the model is conditioned on the noise level: sigma / 0.3."""
    return sigma / SCORE_UNIT


def score_target(gradient: Tensor, sigma: Tensor) -> Tensor:
    """What the denoiser learns: sigma²/0.3 · ∂NLL/∂x.

    Args:
        gradient: ∂(sum over all elements of NLL)/∂x, (B, T, c, h, w).
        sigma: (B,).
    """
    return per_sample(sigma.square() / SCORE_UNIT, gradient) * gradient


def flow_score_matching(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the denoiser's output against `score_target`, both (B, T, c, h, w)."""
    return (prediction.float() - target.float()).square().mean()


def bits_per_dimension(nll: Tensor) -> Tensor:
    """NLL per element without the constant -> bits per latent dimension, the constant included."""
    return bits(-(nll + LOG_TAU / 2), dimensions=1)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), to be multiplied with `like`."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
