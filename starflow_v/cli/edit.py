"""`starflow-v edit`: a clip is changed."""

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.making import make
from starflow_v.cli.common.shared_options import Making, takes_options
from starflow_v.cli.common.tasks import Edit


@reports_failures
@takes_options(frames=opt.EditedFrames, then=opt.hidden(opt.Then))
def edit(
    options: Making,
    video: opt.Clip = None,
    prompt: opt.Instruction = None,
    mask: opt.Mask = None,
    fidelity: opt.Fidelity = None,
    candidates: opt.Candidates = None,
    source_prompt: opt.SourcePrompt = None,
    strength: opt.Strength = None,
    compare: opt.Compare = False,
    debug: Debug = False,
) -> None:
    """Change VIDEO as PROMPT tells, all of it or where --mask is white. Its sound stays.

    It is brought to the model's frame rate and to the nearest of the model's sizes, unless told
    otherwise. A .json beside the video tells how it was made.
    """
    if mask is not None and strength is not None:
        raise ValueError(
            "both --mask and --strength are given, which are two ways of editing; expected one of "
            "them"
        )
    if fidelity is not None and strength is not None:
        raise ValueError(
            "both --fidelity and --strength are given, of which one is of editing by instruction "
            "and one of editing by inversion; expected one of them"
        )
    if fidelity and mask is not None:
        raise ValueError(
            f"both --fidelity {fidelity:g} and --mask are given, but what a mask hides has no "
            "noise of its own; expected one of them"
        )
    if candidates is not None and mask is None:
        raise ValueError(
            f"--candidates {candidates} is given and no --mask, around which a draw is judged; add "
            "one, or leave it out"
        )
    if options.temperature not in (None, 1) and strength is not None:
        raise ValueError(
            f"both --temperature {options.temperature:g} and --strength are given, but by "
            "inversion the noise is the clip's own; expected one of them"
        )
    if options.then:
        raise ValueError(
            "an edited clip has one prompt from its first frame to its last: no --then"
        )
    files = {"video": video, "mask": mask}
    wishes = {
        "fidelity": fidelity,
        "candidates": candidates,
        "source_prompt": source_prompt,
        "strength": strength,
    }
    make(Edit, files, prompt, options, compare=compare, more=wishes)
