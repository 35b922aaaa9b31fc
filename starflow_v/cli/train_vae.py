"""`starflow-v train-vae`: trains a codec, which turns frames into latents and back."""

from starflow_v.cli.failures import Debug, reports_failures
from starflow_v.cli.train import Config, Overrides, check_arguments, tell_end


@reports_failures
def train_vae(config: Config, overrides: Overrides = None, debug: Debug = False) -> None:
    """Train the codec of a model (its VAE); start again to resume."""
    changes = check_arguments(config, overrides)
    from starflow_v.training.codec import train_codec

    tell_end("VAE", train_codec(config, changes))
