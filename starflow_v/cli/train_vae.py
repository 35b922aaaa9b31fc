"""`starflow-v train-vae`: trains a codec, which turns frames into latents and back."""

import math
from typing import Annotated

import typer

from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.train import Config, Overrides, check_arguments, tell_end

Noisy = Annotated[
    float | None,
    typer.Option(
        metavar="STD",
        help="Train the decoder alone, on latents with noise of STD standard deviations, to clean "
        "a flow's samples instead of a denoiser; `initialize` names the VAE.",
    ),
]


@reports_failures
def train_vae(
    config: Config, overrides: Overrides = None, noisy: Noisy = None, debug: Debug = False
) -> None:
    """Train the codec of a model (its VAE); start again to resume."""
    changes = check_arguments(config, overrides)
    if noisy is not None:
        changes = [*noisy_decoder(noisy), *changes]
    from starflow_v.training.vae.codec import train_codec

    tell_end("VAE", train_codec(config, changes))


def noisy_decoder(std: float) -> list[str]:
    """The changes to a configuration that make it one of a decoder of noisy latents."""
    if not 0 < std < math.inf:
        raise ValueError(f"--noisy {std} is no noise; expected a number above 0, such as 0.15")
    return [
        "freeze_encoder=true",
        f"latent_noise={std}",
        f"noise_floor={std}",
        "perceptual=1.0",
    ]
