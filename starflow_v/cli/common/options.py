"""The options of the commands that make videos, each with its help."""

from copy import copy
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from starflow_v.cli.common.settings import SPANS, TOLERANCE


def hidden(option: Any) -> Any:
    """The same option, without a word in the command's help: there it is only refused."""
    kind, info = get_args(option)
    info = copy(info)
    info.hidden = True
    return Annotated[kind, info]


class SolverName(str, Enum):
    """How noise becomes tokens."""

    SEQUENTIAL = "sequential"
    SLIDING = "sliding"
    JACOBI = "jacobi"


class CacheName(str, Enum):
    """How keys and values are kept."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


class DtypeName(str, Enum):
    """Precision of the networks."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


Prompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What the video shows.", show_default=False)
]
Image = Annotated[
    Path | None,
    typer.Argument(metavar="IMAGE", help="A file: what the video begins with.", show_default=False),
]
Video = Annotated[
    Path | None,
    typer.Argument(metavar="VIDEO", help="A file: the clip that goes on.", show_default=False),
]
Clip = Annotated[
    Path | None,
    typer.Argument(metavar="VIDEO", help="A file: the clip to be edited.", show_default=False),
]
Instruction = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT",
        help="What is to be done; with --strength, what the video shows.",
        show_default=False,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A picture or a video of the clip's size: what is white is made, what is black stays.",
    ),
]
Fidelity = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="By instruction: so much of the noise is the clip's own. 1 keeps near to the clip, 0 "
        "makes any video of the instruction; default: as the model has it. Not with --mask.",
    ),
]
Candidates = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With --mask: draw each latent frame so often, and go on with the draw that goes best "
        "with what is seen around the mask; default: 4. Each draw takes its time.",
    ),
]
SourcePrompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="By instruction: what the clip shows, of a model that was trained to be told; "
        "default: the model finds it, '' tells nothing.",
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Forget so much of the clip's own noise, in place of editing by an instruction: 0 "
        "gives the clip back, 1 forgets it.",
    ),
]
Last = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGE", help="What the video ends with, for models that were trained for it."
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Write what was given beside what was made, too: NAME.compare.mp4 and .compare.png.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="The video: .mp4, .gif, .webp, .png (one frame), or no suffix for a folder of PNGs; "
        "with --prompts, a folder for all. Default: SEED-PROMPT.mp4 in the current folder.",
    ),
]
Model = Annotated[
    Path | None, typer.Option(help="Folder of a model; default: the model in the package.")
]
NegativePrompt = Annotated[str | None, typer.Option(help="What guidance leads away from.")]
Height = Annotated[int | None, typer.Option(min=1, help="Pixels; default: the model's.")]
Width = Annotated[int | None, typer.Option(min=1, help="Pixels; default: the model's.")]
AspectRatio = Annotated[
    str | None,
    typer.Option(metavar="W:H", help="Such as 16:9, with the area of the model's default size."),
]
Frames = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of frames, 1 + 4k; default: the model's.",
    ),
]
NewFrames = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of new frames, 4k; default: the model's. --then counts from the clip's first.",
    ),
]
EditedFrames = Annotated[
    int | None, typer.Option(min=1, help="At most so many of the clip's frames; default: all.")
]
Fps = Annotated[int | None, typer.Option(min=1, help="Frames per second; default: the model's.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**63 - 1, help="Seed of the noise; default: another each time."),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        min=0, help="Weight of guidance w; 0 is the conditional model; default: the model's."
    ),
]
AttentionTemperature = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="T",
        help="Guide away from the model with its attention's logits divided by T, such as 1.5: for "
        "models that are told nothing.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="T",
        help="What the noise is multiplied by: less than 1, such as 0.8, is surer and less varied.",
    ),
]
Solver = Annotated[
    SolverName | None,
    typer.Option(help="Default: sliding; where frames are small, sequential, which is exact."),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Euler steps a frame of a flow-matching model; default: the model's."),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="sliding settles each token to so many standard deviations; jacobi is done with a "
        "block when its mean squared change is under this many times its mean square; default: "
        f"{TOLERANCE}.",
    ),
]
BlockSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens solved together; default: "
        f"{' and '.join(f'{span} for {name}' for name, span in SPANS.items())}.",
    ),
]
Prompts = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Many prompts: a text file with one a line.")
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'FRAME: PROMPT'",
        help="What the video shows from that frame on, such as '40: a red circle moves left'; for "
        "more changes give it again. With --prompts, it goes for all.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Videos made side by side.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...; default: the best.")]
Dtype = Annotated[
    DtypeName | None, typer.Option(help="Precision; default: float32 on cpu, else bfloat16.")
]
CacheDtype = Annotated[
    CacheName | None,
    typer.Option(
        "--kv-dtype",
        help="How keys and values are kept: fewer bytes are less exact; default: as computed.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on though the estimate says that memory will not do.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="RECORD", help="Make a video again from the .json beside it."),
]
