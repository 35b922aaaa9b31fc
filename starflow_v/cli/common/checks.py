"""What is refused before a model is loaded, because it would fail only after the work."""

from __future__ import annotations

import tempfile
import warnings
from math import prod
from typing import TYPE_CHECKING

from starflow_v.cli.common.description import size_multiple
from starflow_v.cli.common.planning import EMPTY

if TYPE_CHECKING:
    from starflow_v.cli.common.model_folder import ModelFolder
    from starflow_v.cli.common.planning import Batches
    from starflow_v.cli.common.settings import Wishes
    from starflow_v.cli.common.tasks import Task

LARGE, TOO_LARGE = 16, 1024
"""How often a video may hold the pixels of the model's own, height x width x frames, before that is
warned of, and refused."""


def check_places(batches: Batches) -> None:
    """A `ValueError` if the folder of a video can neither be written to nor be made."""
    targets = [target for batch in batches for target in batch]
    for folder in {target.video.parent for target in targets if target.video is not None}:
        place = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            tempfile.TemporaryFile(dir=place).close()
        except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
            raise ValueError(
                f"no file can be made in {place} ({error.strerror}); choose another -o"
            ) from None


def check_wishes(wishes: Wishes, task: Task, batches: Batches, model: ModelFolder) -> None:
    """Refuses (or warns of) videos that do not fit their files, the model or the memory."""
    config = model.config
    if all(part.kind != "LabelEncoder" for part in model.components):
        _check_words(batches)
    rate = wishes.frame_rate or config.get("frame_rate", 1)
    frames = task.expected_frames(wishes.num_frames, rate) or config.get("num_frames")
    _check_stills(batches, frames)
    if config.keys() >= {"num_frames", "height", "width"}:
        own = (config["num_frames"], config["height"], config["width"])
        _check_volume((frames or 1, *wished_size(wishes, model)), own)


def _check_words(batches: Batches) -> None:
    """Refuses the empty prompt, which means any class where there are classes, and else nothing."""
    if any(not target.clip.prompt for batch in batches for target in batch):
        raise ValueError(EMPTY)


def _check_stills(batches: Batches, frames: int | None) -> None:
    """Refuses more than one frame for a .png; None where nobody tells how many there will be."""
    for target in (target for batch in batches for target in batch):
        count = target.frames or frames or 1
        if target.video is not None and target.video.suffix.lower() == ".png" and count > 1:
            raise ValueError(
                f"{target.video} holds one frame, and the video has {count}; add --frames 1, or "
                "give a name without a suffix for a folder of PNGs"
            )


def wished_size(wishes: Wishes, model: ModelFolder) -> tuple[int, int]:
    """(height, width) as the pipeline will choose them; refuses a ratio that is none."""
    height, width = model.config["height"], model.config["width"]
    if wishes.aspect_ratio is None:
        return wishes.height or height, wishes.width or width
    from starflow_v.text import size_for

    return size_for(wishes.aspect_ratio, area=height * width, multiple=size_multiple(model) or 1)


def _check_volume(asked: tuple[int, int, int], own: tuple[int, int, int]) -> None:
    """Compares (frames, height, width) with the model's own."""
    times = prod(asked) / prod(own)
    if times <= LARGE:
        return
    message = (
        "{} frames of {}x{} hold {:.0f} times the pixels of this model's own videos "
        "({} frames of {}x{})".format(*_in_words(asked), times, *_in_words(own))
    )
    if times > TOO_LARGE:
        raise ValueError(f"{message}; expected at most {TOO_LARGE} times as many")
    warnings.warn(f"{message}: it will take as much more time, and perhaps memory", stacklevel=2)


def _in_words(size: tuple[int, int, int]) -> tuple[int, int, int]:
    """(frames, width, height), as people say it."""
    frames, height, width = size
    return frames, width, height
