"""What latents depend on, as a short name.

A codec's *encoder side* is its encoder, the convolution behind it, and the numbers of its
configuration, the latents' mean and spread among them. Its decoder is not: training the decoder on
leaves every cached latent as it is, so the cache stays valid.
"""

from __future__ import annotations

import json
from hashlib import sha256

import torch
from torch import nn

ENCODER_SIDE = ("encoder.", "quant_conv.")
"""How the names of such weights begin."""
DECODER_SIDE = ("_", "decoder", "out_", "up_", "force_", "sample_size")
"""How the names of settings begin that say nothing about the encoder."""


def encoder_fingerprint(vae: nn.Module) -> str:
    """Names the encoder side of a VAE of diffusers, or a `PatchCodec`; weights count as float32."""
    config = {
        key: value
        for key, value in dict(vae.config).items()  # type: ignore[arg-type]
        if not key.startswith(DECODER_SIDE)
    }
    hashed = sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in sorted(vae.state_dict().items()):
        if name.startswith(ENCODER_SIDE):
            hashed.update(name.encode())
            hashed.update(_bytes(weight))
    return hashed.hexdigest()[:16]


def module_fingerprint(module: nn.Module) -> str:
    """Names all weights of a module."""
    hashed = sha256()
    for name, weight in sorted(module.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(_bytes(weight))
    return hashed.hexdigest()[:16]


def _bytes(weight: torch.Tensor) -> bytes:
    return weight.detach().float().cpu().contiguous().numpy().tobytes()
