"""The record beside a video: everything needed to make the video again, as JSON."""

import hashlib
import json
import os
import platform
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from starflow_v import __version__
from starflow_v.cli.common.given import GivenFile
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.settings import Settings

PACKAGES = ("torch", "diffusers", "transformers", "av", "numpy")


@dataclass(frozen=True, kw_only=True)
class Change:
    """Another prompt along the way."""

    frame: int
    """Of the pixel frames, from 0, the one that it begins with."""
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One video that is asked for."""

    prompt: str
    seed: int
    then: tuple[Change, ...] = ()
    """What it shows later, in order."""

    @property
    def told(self) -> str | dict[int, str]:
        """The prompt, or the prompts by their first frames, as the pipelines take them."""
        if not self.then:
            return self.prompt
        return {0: self.prompt, **{change.frame: change.prompt for change in self.then}}


@dataclass(frozen=True, kw_only=True)
class Record:
    """A clip that was made.

    `batch` holds all clips of its batch and `index` its place: rounding depends on the batch, so
    only the whole batch makes the clip again bit for bit.
    """

    task: str
    """The command that made it."""
    given: dict[str, GivenFile]
    """The files that it was made from."""
    settings: Settings
    batch: tuple[Clip, ...]
    index: int
    model: str
    """The model's folder."""
    hashes: dict[str, str]
    """SHA-256 of each of the model's files, by its path in the folder."""
    versions: dict[str, str]
    command: str
    seconds: float
    """From the first token to the last frame on the disk."""
    frames: int
    """Frames in the file: fewer than `total_frames` where making it was interrupted."""
    total_frames: int
    """Frames of the whole video, those of a clip that goes on included."""

    def __post_init__(self) -> None:
        if not 0 <= self.index < len(self.batch):
            raise ValueError(f"batch_index is {self.index} in a batch of {len(self.batch)}")
        if not 1 <= self.frames <= self.total_frames:
            raise ValueError(f"frames is {self.frames} of {self.total_frames}")

    @property
    def clip(self) -> Clip:
        """The clip itself."""
        return self.batch[self.index]


def write_record(record: Record, path: Path) -> None:
    """Writes `record` whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(to_json(record), file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def to_json(record: Record) -> dict[str, Any]:
    """The record as users read it: the clip's own prompt and seed first, settings flat."""
    return {
        "task": record.task,
        **asdict(record.clip),
        "given": {name: asdict(file) for name, file in record.given.items()},
        **asdict(record.settings),
        "model": {"path": record.model, "sha256": record.hashes},
        "versions": record.versions,
        "batch": [asdict(clip) for clip in record.batch],
        "batch_index": record.index,
        "command": record.command,
        "seconds": record.seconds,
        "frames": record.frames,
        "total_frames": record.total_frames,
    }


def _settings(data: dict[str, Any]) -> dict[str, Any]:
    """Those of a record; what it does not know yet has its default."""
    known = [it.name for it in fields(Settings) if it.name in data or it.default is MISSING]
    return {name: data[name] for name in known}


def _clip(data: dict[str, Any]) -> Clip:
    """That of a record; older ones know no changes."""
    then = tuple(Change(**change) for change in data.get("then", ()))
    return Clip(prompt=data["prompt"], seed=data["seed"], then=then)


def read_record(path: Path) -> Record:
    """The record in `path`; a `ValueError` says what is wrong with it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        given = {name: GivenFile(**file) for name, file in data.get("given", {}).items()}
        return Record(
            task=data.get("task", "generate"),
            given=given,
            settings=Settings(**_settings(data)),
            batch=tuple(_clip(clip) for clip in data["batch"]),
            index=data["batch_index"],
            model=data["model"]["path"],
            hashes=data["model"]["sha256"],
            versions=data["versions"],
            command=data["command"],
            seconds=data["seconds"],
            frames=data["frames"],
            total_frames=data.get("total_frames", data["num_frames"]),
        )
    except OSError as error:
        raise ValueError(f"the record {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a record of a generated video: {error}") from None
    except KeyError as error:
        raise ValueError(
            f"{path} is not a record of a generated video: it has no {error}; expected the .json "
            "that is written beside a video"
        ) from None


def hash_files(model: ModelFolder) -> dict[str, str]:
    """SHA-256 of each file that a model is read from, by its path in the model's folder."""
    hashes = {}
    for path in model.files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        hashes[path.relative_to(model.path).as_posix()] = digest.hexdigest()
    return hashes


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a video depends on."""
    from importlib import metadata

    found = {"python": platform.python_version(), "starflow_v": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def changed_files(record: Record, hashes: dict[str, str]) -> list[str]:
    """The model's files that are not (or no longer, or newly) as when the clip was made."""
    names = sorted({*record.hashes, *hashes})
    return [name for name in names if record.hashes.get(name) != hashes.get(name)]


def changed_versions(record: Record) -> list[str]:
    """The packages of which another version made the clip than there is now."""
    now = versions()
    return [
        f"{name} was {record.versions[name]} and is {now[name]}"
        for name in now
        if name in record.versions and record.versions[name] != now[name]
    ]
