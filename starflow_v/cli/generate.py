"""`starflow-v generate`: videos from prompts."""

import shlex
import sys
import warnings
from pathlib import Path

from starflow_v.cli import options as opt
from starflow_v.cli.checks import check_places, check_wishes
from starflow_v.cli.clips import Source, make_batch
from starflow_v.cli.failures import Debug, reports_failures
from starflow_v.cli.loading import embedded_model, load_pipeline
from starflow_v.cli.model_folder import ModelFolder, read_model_folder
from starflow_v.cli.planning import Batches, plan_batches, plan_repeat, refuse_taken
from starflow_v.cli.record import (
    Record,
    changed_files,
    changed_versions,
    hash_files,
    read_record,
)
from starflow_v.cli.settings import Wishes, settle


@reports_failures
def generate(
    prompt: opt.Prompt = None,
    output: opt.Output = None,
    model: opt.Model = None,
    negative_prompt: opt.NegativePrompt = None,
    height: opt.Height = None,
    width: opt.Width = None,
    aspect_ratio: opt.AspectRatio = None,
    frames: opt.Frames = None,
    fps: opt.Fps = None,
    seed: opt.Seed = None,
    guidance: opt.Guidance = None,
    solver: opt.Solver = None,
    tolerance: opt.Tolerance = None,
    block_size: opt.BlockSize = None,
    prompts: opt.Prompts = None,
    batch_size: opt.BatchSize = 1,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    overwrite: opt.Overwrite = False,
    from_record: opt.From = None,
    debug: Debug = False,
) -> None:
    """Make a video from PROMPT, or many from a file; a .json beside each tells how it was made.

    Ctrl-C ends early: what is made so far becomes a shorter video (exit code 130).
    """
    wishes = Wishes(
        negative_prompt=negative_prompt,
        height=height,
        width=width,
        aspect_ratio=aspect_ratio,
        num_frames=frames,
        frame_rate=fps,
        guidance_scale=guidance,
        solver=solver and solver.value,
        block_size=block_size,
        tolerance=tolerance,
        device=device,
        dtype=dtype and dtype.value,
    )
    if from_record is None:
        batches = plan_batches(prompt, prompts, output, seed=seed, batch_size=batch_size)
        refuse_taken(batches, overwrite=overwrite)
        check_places(batches)
        folder = read_model_folder(model or embedded_model())
        make_all(batches, wishes, folder, hash_files(folder), overwrite=overwrite)
        return
    if wishes != Wishes() or (prompt, prompts, seed, batch_size) != (None, None, None, 1):
        raise ValueError(
            "--from makes a video as it was recorded; expected no option beside it but -o, "
            "--model and --overwrite"
        )
    make_again(read_record(from_record), output, model, overwrite=overwrite)


def make_again(record: Record, output: Path | None, model: Path | None, *, overwrite: bool) -> None:
    """The video of `record`, bit for bit where machine, versions and model are the same."""
    batches = plan_repeat(record, output)
    refuse_taken(batches, overwrite=overwrite)
    check_places(batches)
    recorded = Path(record.model) if Path(record.model).is_dir() else embedded_model()
    folder = read_model_folder(model or recorded)
    hashes = hash_files(folder)
    if changed := changed_files(record, hashes):
        message = f"the model in {folder.path} is not that of the record: {changed[0]} differs"
        if model is None:
            raise ValueError(f"{message}; give the folder that has it, or any other, by --model")
        warnings.warn(f"{message}, and so will the video", stacklevel=2)
    for change in changed_versions(record):
        warnings.warn(f"{change}: the video may differ in its last bits", stacklevel=2)
    if record.frames < record.settings.num_frames:
        warnings.warn(
            f"the recorded video was interrupted after {record.frames} of "
            f"{record.settings.num_frames} frames; these are made again",
            stacklevel=2,
        )
    make_all(batches, record.settings.as_wishes(), folder, hashes, overwrite=overwrite)


def make_all(
    batches: Batches,
    wishes: Wishes,
    folder: ModelFolder,
    hashes: dict[str, str],
    *,
    overwrite: bool,
) -> None:
    """Makes the videos batch by batch, with a progress bar in latent frames on a terminal."""
    from tqdm import tqdm

    check_wishes(wishes, batches, folder)
    pipe = load_pipeline(folder, wishes)
    settings = settle(wishes, pipe)
    source = Source(
        model=folder.path.resolve(),
        hashes=hashes,
        command=shlex.join(["starflow-v", *sys.argv[1:]]),
    )
    latent_frames = 1 + (settings.num_frames - 1) // 4
    with tqdm(
        total=len(batches) * latent_frames, unit="latent frame", disable=None, leave=False
    ) as bar:
        for batch in batches:
            for path, record in make_batch(
                pipe, settings, batch, source=source, overwrite=overwrite, advance=bar.update
            ):
                bar.write(summary(path, record), file=sys.stdout)


def summary(path: Path, record: Record) -> str:
    """One line about a video that was made."""
    settings = record.settings
    return (
        f"{path}: {record.frames} frames of {settings.width}x{settings.height} at "
        f"{settings.frame_rate} fps, seed {record.clip.seed}, {record.seconds:.1f} s"
    )
