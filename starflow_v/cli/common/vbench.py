"""Where the clips of VBench (arXiv 2311.17982) go, and what is there already.

Its layout is one folder with nothing in it but PROMPT-0.mp4, PROMPT-1.mp4, ... for each prompt: it
takes the suffix of whatever file it finds first for that of all. So the records lie in a folder of
their own beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from starflow_v.cli.common.planning import Target
from starflow_v.cli.common.prompt_file import read_prompts
from starflow_v.cli.common.record import Clip, Record, changed_files, read_record
from starflow_v.cli.common.settings import Wishes

LONGEST_NAME = 255
"""Bytes of a file's name on nearly every disk."""
LONGEST_SUFFIX = len(".latents.safetensors")
"""What is written beside a clip while it is made."""
ROUNDING = 4
"""Frames asked for are rounded to 1 + 4k, by less than this."""
FREE = ("device", "threads", "kv_dtype")
"""Settings that may change between the runs of a set."""


def read_suite(path: Path) -> list[str]:
    """The different prompts of VBench's own files: its JSON, or a text file with one a line."""
    read = _read_json if path.suffix.lower() == ".json" else read_prompts
    different = list(dict.fromkeys(read(path)))
    for prompt in different:
        _check_name(prompt)
    return different


def plan_suite(
    prompts: Sequence[str], folder: Path, *, seeds: int, first_seed: int
) -> list[Target]:
    """The clips of each prompt, each with a seed of its own, counting up."""
    records = records_folder(folder)
    clips = [(prompt, index) for prompt in prompts for index in range(seeds)]
    return [
        Target(
            clip=Clip(prompt=prompt, seed=seed),
            video=folder / f"{prompt}-{index}.mp4",
            record=records / f"{prompt}-{index}.json",
        )
        for seed, (prompt, index) in enumerate(clips, start=first_seed)
    ]


def records_folder(folder: Path) -> Path:
    """The folder for the records of the clips in `folder`."""
    return folder.absolute().with_name(folder.absolute().name + "-records")


def is_made(target: Target, wishes: Wishes, hashes: Mapping[str, str]) -> bool:
    """Whether the clip is there and whole; one that was made otherwise is refused.

    A clip that Ctrl-C cut short is none. Without its record a clip is taken as it is.
    """
    assert target.video is not None and target.record is not None
    if not target.video.exists():
        return False
    if not target.record.exists():
        return True
    record = read_record(target.record)
    if difference := _difference(record, target, wishes, hashes):
        raise ValueError(
            f"{target.video} was made with another {difference}; one set has one: choose another "
            "-o, or make all anew with --overwrite"
        )
    return record.frames == record.total_frames


def _difference(
    record: Record, target: Target, wishes: Wishes, hashes: Mapping[str, str]
) -> str | None:
    """What of a record is not as asked for, in a word."""
    if record.clip.seed != target.clip.seed:
        return "seed"
    if changed_files(record, dict(hashes)):
        return "model"
    settled = asdict(record.settings)
    for name, wish in asdict(wishes).items():
        if wish is None or name in FREE:
            continue
        if name == "num_frames":
            wish = settled[name] if abs(settled[name] - wish) < ROUNDING else wish
        if settled.get(name, wish) != wish:
            return name
    return None


def _read_json(path: Path) -> list[str]:
    try:
        entries = json.loads(path.read_text("utf-8"))
        prompts = [str(entry["prompt_en"]).strip() for entry in entries]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} is not a list of prompts of VBench; expected JSON with prompt_en in each "
            "entry, in UTF-8, or a text file with one prompt a line"
        ) from None
    if not prompts or "" in prompts:
        raise ValueError(f"{path} holds no prompt, or an empty one")
    return prompts


def _check_name(prompt: str) -> None:
    """Refuse a prompt that cannot be the name of a file."""
    bad = {c for c in prompt if c in "/\\" or ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF}
    if bad or prompt.startswith("."):
        what = f"holds {sorted(bad)[0]!r}" if bad else "begins with a dot"
        raise ValueError(
            f"the prompt {prompt!r} {what}: VBench names files by their prompts, and this one "
            "cannot be a name; change it"
        )
    if (size := len(prompt.encode())) > (room := LONGEST_NAME - LONGEST_SUFFIX - len("-000")):
        raise ValueError(
            f"a prompt of {size} bytes cannot be the name of a file, as VBench wants it; expected "
            f"at most {room}: {prompt[:60]}..."
        )
