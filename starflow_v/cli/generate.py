"""`starflow-v generate`: videos from prompts."""

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.making import make
from starflow_v.cli.common.shared_options import Making, takes_options
from starflow_v.cli.common.tasks import Generate


@reports_failures
@takes_options()
def generate(options: Making, prompt: opt.Prompt = None, debug: Debug = False) -> None:
    """Make a video from PROMPT, or many from a file; a .json beside each tells how it was made.

    Many on several devices: accelerate launch -m starflow_v.cli.main generate --prompts FILE ...

    Ctrl-C ends early: what is made so far becomes a shorter video (exit code 130).
    """
    make(Generate, {}, prompt, options)
