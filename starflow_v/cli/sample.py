"""`starflow-v sample`: sets of clips for outside benchmarks, which run in environments of their
own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common import vbench as suite
from starflow_v.cli.common.checks import check_places
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.loading import embedded_model
from starflow_v.cli.common.making import make_all
from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.planning import Target
from starflow_v.cli.common.record import hash_files
from starflow_v.cli.common.shared_options import Making, takes_options
from starflow_v.cli.common.tasks import Generate
from starflow_v.processes import this_process

VBench = Annotated[
    Path,
    typer.Option(
        "--vbench",
        metavar="PROMPTS",
        help="Prompts of VBench: its VBench_full_info.json, or a text file with one a line.",
    ),
]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Where the clips go.")
]
FirstSeed = Annotated[
    int | None, typer.Option(min=0, max=2**63 - 1, help="The first clip's seed; default: 0.")
]
Seeds = Annotated[
    int, typer.Option(min=1, max=999, help="Clips of each prompt (25 for temporal flickering).")
]
FramesFolder = Annotated[
    Path | None,
    typer.Option(
        "--frames-dir",
        metavar="FOLDER",
        help="Also write each clip as a folder of PNGs in FOLDER, for FVD tools.",
    ),
]


@reports_failures
@takes_options(
    output=Folder,
    seed=FirstSeed,
    prompts=opt.hidden(opt.Prompts),
    then=opt.hidden(opt.Then),
    from_record=opt.hidden(opt.From),
)
def sample(
    options: Making,
    vbench: VBench,
    seeds: Seeds = 5,
    frames_dir: FramesFolder = None,
    debug: Debug = False,
) -> None:
    """Make the clips that VBench judges: -o FOLDER with PROMPT-0.mp4 ... PROMPT-4.mp4.

    Clips that are there are kept, so a run that was stopped goes on. Records go to FOLDER-records.
    Seeds count up from --seed. Several devices share the work as in `generate`.
    """
    others = (options.prompts, options.then, options.from_record)
    if options.output is None or any(option is not None for option in others):
        raise ValueError(
            "expected --vbench PROMPTS and -o FOLDER, without --prompts, --then and --from"
        )
    folder = read_model_folder(options.model or embedded_model())
    prompts, first_seed = suite.read_suite(vbench), options.seed or 0
    targets = suite.plan_suite(prompts, options.output, seeds=seeds, first_seed=first_seed)
    if frames_dir is not None and frames_dir.exists() and not frames_dir.is_dir():
        raise ValueError(f"--frames-dir {frames_dir} is a file; expected a folder")
    size = options.batch_size
    batches = [targets[start : start + size] for start in range(0, len(targets), size)]
    ours = this_process().share(batches)
    wishes, hashes = options.wishes(), hash_files(folder)
    missing = [
        left
        for batch in ours
        if (left := [t for t in batch if options.overwrite or not suite.is_made(t, wishes, hashes)])
    ]
    check_places(ours)
    suite.records_folder(options.output).mkdir(parents=True, exist_ok=True)
    there = sum(map(len, ours)) - sum(map(len, missing))
    if there:
        typer.echo(f"{there} clips are there already")
    again = replace(options, overwrite=True)  # what is missing is not there, or was cut short
    make_all(Generate(), missing, wishes, folder, hashes, again, compare=False)
    if frames_dir is not None:
        _write_frames(targets, {target.video for batch in ours for target in batch}, frames_dir)


def _write_frames(targets: Sequence[Target], mine: set[Path | None], folder: Path) -> None:
    """A folder of PNGs for each clip of this process, by its number, not by its prompt.

    Those that are there may be of other clips, so all are written.
    """
    from starflow_v.data.video_io import VideoWriter, read_video

    for number, target in enumerate(targets):
        if target.video not in mine:
            continue
        assert target.video is not None
        clip = read_video(target.video)
        with VideoWriter(folder / f"{number:05d}", fps=clip.fps, overwrite=True) as writer:
            writer.write(clip.frames)
