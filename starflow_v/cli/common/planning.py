"""Which clips are made, in which batches, and where they go."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from starflow_v.cli.common.names import clip_name, comparison_paths, record_path
from starflow_v.cli.common.prompt_file import read_prompts
from starflow_v.cli.common.record import Change, Clip, Record

EMPTY = "the prompt is empty; expected words, such as 'a red circle moves right'"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A clip and its file."""

    clip: Clip
    video: Path | None
    """None for a clip that is made only because its batch needs it."""
    frames: int | None = None
    """Frames that are kept, the first ones; None for all."""
    record: Path | None = None
    """Where its record goes; None: beside the video."""


Batches = Sequence[Sequence[Target]]


def plan_batches(
    prompt: str | None,
    prompts: Path | None,
    output: Path | None,
    *,
    seed: int | None,
    batch_size: int,
    then: Sequence[str] = (),
) -> Batches:
    """The clip of `prompt`, or those of the file `prompts`, whose seeds count up from `seed`.

    What they show later, `then`, goes for all.
    """
    changes = read_changes(then)
    seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
    if prompt is not None and prompts is None:
        return [[_plan_one(Clip(prompt=prompt, seed=seed, then=changes), output)]]
    if prompts is None or prompt is not None:
        raise ValueError("expected one of: a PROMPT, --prompts FILE, or --from RECORD")
    clips = [
        Clip(prompt=prompt, seed=seed + index, then=changes)
        for index, prompt in enumerate(read_prompts(prompts))
    ]
    if output is None or output.is_file() or (not output.is_dir() and _is_video(output)):
        raise ValueError(
            f"--prompts makes many videos, got -o {output}; expected a folder for them: -o FOLDER"
        )
    targets = [
        Target(clip=clip, video=output / clip_name(clip.prompt, clip.seed, index=index))
        for index, clip in enumerate(clips)
    ]
    return [targets[i : i + batch_size] for i in range(0, len(targets), batch_size)]


def plan_repeat(record: Record, output: Path | None) -> Batches:
    """The clip of `record` once more, in the batch that it was made in, and cut where it was."""
    whole = _plan_one(record.clip, output)
    again = replace(whole, frames=record.frames)
    return [
        [
            again if index == record.index else Target(clip=clip, video=None)
            for index, clip in enumerate(record.batch)
        ]
    ]


def refuse_taken(batches: Batches, *, overwrite: bool, compare: bool = False) -> None:
    """A `ValueError` if a video or a file beside it is there already and may not be replaced."""
    taken = [path for path in _written(batches, compare=compare) if path.exists()]
    if taken and not overwrite:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise ValueError(
            f"{taken[0]} exists already{more}; choose another -o, or replace it with --overwrite"
        )


def refuse_given(batches: Batches, given: Iterable[Path], *, compare: bool = False) -> None:
    """A `ValueError` if a file that is written would take the place of one that is read."""
    read = [path.resolve() for path in given]
    for path in _written(batches, compare=compare):
        if any(source.is_relative_to(path.resolve()) for source in read):
            raise ValueError(
                f"{path} would replace a file that the video is made from; choose another -o"
            )


def _written(batches: Batches, *, compare: bool) -> Iterator[Path]:
    """Videos, and what is written beside them."""
    for target in (target for batch in batches for target in batch):
        if target.video is not None:
            yield target.video
            yield record_path(target.video)
            yield from comparison_paths(target.video) if compare else ()


def read_changes(then: Sequence[str]) -> tuple[Change, ...]:
    """The changes of prompts that `--then` told, each as FRAME: PROMPT."""
    changes = []
    for told in then:
        number, colon, prompt = told.partition(":")
        number, prompt = number.strip(), prompt.strip()
        if not colon or not (number.isascii() and number.isdigit()) or int(number) == 0:
            raise ValueError(
                f"--then {told!r} names no frame; expected FRAME: PROMPT, such as "
                "--then '40: a red circle moves left'"
            )
        if not prompt:
            raise ValueError(EMPTY)
        _check_prompt(prompt)
        changes.append(Change(frame=int(number), prompt=prompt))
    changes.sort(key=lambda change: change.frame)
    twice = [a.frame for a, b in pairwise(changes) if a.frame == b.frame]
    if twice:
        raise ValueError(f"two prompts were given for frame {twice[0]}; expected one")
    return tuple(changes)


def _check_prompt(prompt: str) -> None:
    """That it can be said to some model: "" is any class of a model of classes."""
    if prompt and not prompt.strip():
        raise ValueError(EMPTY)
    if any(0xD800 <= ord(character) <= 0xDFFF for character in prompt):
        raise ValueError("the prompt holds bytes that are no text; expected UTF-8")


def _plan_one(clip: Clip, output: Path | None) -> Target:
    """The clip goes to `output`, or into it if it is a folder of anything but frames."""
    _check_prompt(clip.prompt)
    name = clip_name(clip.prompt, clip.seed)
    if output is None:
        output = Path(name)
    elif output.is_dir() and not (output / "frame_00000.png").exists():
        output = output / name
    _check_suffix(output)
    return Target(clip=clip, video=output)


def _check_suffix(video: Path) -> None:
    """Refuses a kind of file that cannot be written before the work, not after it."""
    if video.suffix and not _is_video(video):
        raise ValueError(
            f"{video} cannot be written; expected a name in .mp4, .gif, .webp or .png (one frame), "
            "or one without a suffix for a folder of PNGs"
        )


def _is_video(path: Path) -> bool:
    """Whether the name is one of a file that can be written."""
    from starflow_v.data.video_io.writing import SUFFIXES

    return path.suffix != "" and path.suffix.lower() in SUFFIXES
