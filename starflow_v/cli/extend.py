"""`starflow-v extend`: a clip goes on."""

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.making import make
from starflow_v.cli.common.shared_options import Making, takes_options
from starflow_v.cli.common.tasks import Extend


@reports_failures
@takes_options(frames=opt.NewFrames)
def extend(
    options: Making,
    video: opt.Video = None,
    prompt: opt.Prompt = None,
    compare: opt.Compare = False,
    debug: Debug = False,
) -> None:
    """Let VIDEO go on as PROMPT tells: its frames and its sound, then --frames new ones.

    It is brought to the model's frame rate and to the nearest of the model's sizes, unless told
    otherwise. A .json beside the video tells how it was made.
    """
    make(Extend, {"video": video}, prompt, options, compare=compare)
