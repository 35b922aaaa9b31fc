"""`starflow-v cache`: encodes the data of a training run, without training."""

import typer

from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.train import Config, Overrides, check_arguments


@reports_failures
def cache(config: Config, overrides: Overrides = None, debug: Debug = False) -> None:
    """Encode the data of a run into its cache; start again to resume.

    On several processes, each making its share: accelerate launch -m starflow_v.cli.main cache
    CONFIG
    """
    changes = check_arguments(config, overrides)
    from starflow_v.training.data.cache import build_cache

    for line in build_cache(config, changes):
        typer.echo(line)
