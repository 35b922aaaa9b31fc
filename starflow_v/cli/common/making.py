"""What `generate`, `animate`, `extend` and `edit` do: plan, check, load, make; or make again."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from starflow_v.cli.common.checks import check_places, check_wishes
from starflow_v.cli.common.clips import Source, make_batch
from starflow_v.cli.common.given import describe_files, unchanged_files
from starflow_v.cli.common.loading import embedded_model, find_device, load_pipeline
from starflow_v.cli.common.memory import check_memory
from starflow_v.cli.common.model_folder import ModelFolder, read_model_folder
from starflow_v.cli.common.planning import (
    Batches,
    plan_batches,
    plan_repeat,
    refuse_given,
    refuse_taken,
)
from starflow_v.cli.common.processes import check_seed
from starflow_v.cli.common.record import (
    Record,
    changed_files,
    changed_versions,
    hash_files,
    read_record,
)
from starflow_v.cli.common.saved_latents import saved_latents
from starflow_v.cli.common.settings import Wishes, candidates_of, settle
from starflow_v.cli.common.shared_options import Making
from starflow_v.cli.common.tasks import Task
from starflow_v.processes import this_process

NO_WISHES: Mapping[str, Any] = {}


def make(
    kind: type[Task],
    files: Mapping[str, Path | None],
    prompt: str | None,
    options: Making,
    *,
    compare: bool = False,
    more: Mapping[str, Any] = NO_WISHES,
) -> None:
    """The videos of a command, new or as recorded.

    Args:
        kind: the task.
        files: what is given, by the names of the task's fields.
        prompt: what the video shows.
        options: how it is made.
        compare: whether a comparison with what is given is written beside it.
        more: wishes that the task alone has.
    """
    given = {name: path for name, path in files.items() if path is not None}
    if options.from_record is not None:
        _refuse_options(given, prompt, options, more)
        record = read_record(options.from_record)
        _make_again(kind, record, options, compare=compare)
        return
    missing = [name.upper() for name in kind.required() if name not in given]
    if missing:
        raise ValueError(f"expected {kind.name.upper()}'s {missing[0]}, or --from RECORD")
    process = this_process()
    check_seed(options.seed, process)
    batches = plan_batches(
        prompt,
        options.prompts,
        options.output,
        seed=options.seed,
        batch_size=options.batch_size,
        then=options.then or (),
    )
    batches = process.share(batches)
    texts = () if options.prompts is None else (options.prompts,)
    refuse_given(batches, (*given.values(), *texts), compare=compare)
    refuse_taken(batches, overwrite=options.overwrite, compare=compare)
    check_places(batches)
    task = kind(**given)
    task.check()
    folder = read_model_folder(options.model or embedded_model())
    wishes = replace(options.wishes(), **more)
    make_all(task, batches, wishes, folder, hash_files(folder), options, compare=compare)


def _refuse_options(
    given: Mapping[str, Path], prompt: str | None, options: Making, more: Mapping[str, Any]
) -> None:
    """Nothing may be said beside a record but where to and from which folder."""
    as_recorded = Making(
        output=options.output,
        model=options.model,
        overwrite=options.overwrite,
        from_record=options.from_record,
    )
    said = [prompt, *more.values()]
    if given or any(it is not None for it in said) or options != as_recorded:
        raise ValueError(
            "--from makes a video as it was recorded; expected no option beside it but -o, "
            "--model, --compare and --overwrite"
        )


def _make_again(kind: type[Task], record: Record, options: Making, *, compare: bool) -> None:
    """The video of `record`, bit for bit where machine, versions and model are the same."""
    if record.task != kind.name:
        raise ValueError(
            f"{options.from_record} is the record of a video that `starflow-v {record.task}` made; "
            f"make it again by starflow-v {record.task} --from {options.from_record}"
        )
    assert options.from_record is not None, "a record was read from it"
    batches = this_process().share(plan_repeat(record, options.output))
    task = kind(**unchanged_files(record.given, beside=options.from_record.parent))
    refuse_given(batches, task.files.values(), compare=compare)
    refuse_taken(batches, overwrite=options.overwrite, compare=compare)
    check_places(batches)
    recorded = Path(record.model) if Path(record.model).is_dir() else embedded_model()
    folder = read_model_folder(options.model or recorded)
    hashes = hash_files(folder)
    if changed := changed_files(record, hashes):
        message = f"the model in {folder.path} is not that of the record: {changed[0]} differs"
        if options.model is None:
            raise ValueError(f"{message}; give the folder that has it, or any other, by --model")
        warnings.warn(f"{message}, and so will the video", stacklevel=2)
    for change in changed_versions(record):
        warnings.warn(f"{change}: the video may differ in its last bits", stacklevel=2)
    if record.frames < record.total_frames:
        warnings.warn(
            f"the recorded video was interrupted after {record.frames} of "
            f"{record.total_frames} frames; these are made again",
            stacklevel=2,
        )
    wishes = record.settings.as_wishes()
    make_all(task, batches, wishes, folder, hashes, options, compare=compare)


def make_all(
    task: Task,
    batches: Batches,
    wishes: Wishes,
    folder: ModelFolder,
    hashes: dict[str, str],
    options: Making,
    *,
    compare: bool,
) -> None:
    """Makes the videos batch by batch, with a progress bar in latent frames on a terminal."""
    from tqdm import tqdm

    if not batches:
        return  # other processes make them all
    check_wishes(wishes, task, batches, folder)
    largest = max(len(batch) for batch in batches)
    device = find_device(wishes.device)
    draws = candidates_of(wishes, task) or 1
    check_memory(folder, wishes, device, batch=largest, draws=draws, force=options.force)
    pipe = load_pipeline(folder, wishes, task.pipeline())
    settings = settle(wishes, pipe, task)
    source = Source(
        task=task.name,
        given=describe_files(task.files),
        model=folder.path.resolve(),
        hashes=hashes,
        command=shlex.join(["starflow-v", *sys.argv[1:]]),
    )
    start = task.start(pipe, settings)
    latent_frames = 1 + (start.total_frames - 1) // 4
    with tqdm(
        total=len(batches) * latent_frames,
        unit="latent frame",
        disable=this_process().index > 0 or None,  # None: shown on a terminal only
        leave=False,
    ) as bar:
        for batch in batches:
            with saved_latents(pipe, batch, settings, folder):
                made = make_batch(
                    start,
                    settings,
                    batch,
                    source=source,
                    overwrite=options.overwrite,
                    compare=compare,
                    advance=lambda _: bar.update(),
                )
            for path, record in made:
                bar.write(summary(path, record), file=sys.stdout)


def summary(path: Path, record: Record) -> str:
    """One line about a video that was made."""
    settings = record.settings
    frames = "frame" if record.frames == 1 else "frames"
    return (
        f"{path}: {record.frames} {frames} of {settings.width}x{settings.height} at "
        f"{settings.frame_rate} fps, seed {record.clip.seed}, {record.seconds:.1f} s"
    )
