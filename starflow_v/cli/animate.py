"""`starflow-v animate`: videos from an image."""

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.making import make
from starflow_v.cli.common.shared_options import Making, takes_options
from starflow_v.cli.common.tasks import Animate


@reports_failures
@takes_options()
def animate(
    options: Making,
    image: opt.Image = None,
    prompt: opt.Prompt = None,
    last: opt.Last = None,
    compare: opt.Compare = False,
    debug: Debug = False,
) -> None:
    """Set IMAGE in motion as PROMPT tells: it becomes the first frame of a video.

    The size is the model's nearest to the image's, unless told otherwise; the image is resized to
    cover it and cropped. A .json beside the video tells how it was made.
    """
    make(Animate, {"image": image, "last_image": last}, prompt, options, compare=compare)
