"""What a model folder holds, read from JSON and from headers of safetensors: no weights are loaded.

A model folder is what `DiffusionPipeline.save_pretrained` writes: `model_index.json` and one folder
a component, each with its configuration and, where it is a network, its weights.
"""

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starflow_v.cli.common.failures import CommandError

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
SETTINGS = (".json", ".model", ".txt")
"""Suffixes of configurations and of tokenizers' files."""
OURS = "StarFlow"
"""What the names of this package's pipelines begin with."""
CONVERSION = "starflow-v convert makes a folder of a released checkpoint"
LARGEST_HEADER = 100_000_000
"""Bytes, the limit of the safetensors format."""


class BrokenModelError(CommandError):
    """A model folder that lacks something or holds something unreadable."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of a model."""

    name: str
    kind: str
    """Its class."""
    config: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, int] = field(default_factory=dict)
    """How many numbers each tensor of its weight files has."""
    dtypes: tuple[str, ...] = ()
    """As safetensors spells them: F32, BF16 ..."""
    weight_files: tuple[Path, ...] = ()

    def parameters(self, prefix: str = "") -> int:
        """Parameters of all tensors whose names begin with `prefix`; 0 for a tokenizer."""
        return sum(count for name, count in self.tensors.items() if name.startswith(prefix))


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model that is whole."""

    path: Path
    kind: str
    """The pipeline's class."""
    config: dict[str, Any]
    """The settings of the pipeline itself."""
    components: tuple[Component, ...]

    @property
    def files(self) -> list[Path]:
        """All that decides what the model makes: settings, tokenizer and weights."""
        files = [self.path / "model_index.json"]
        for component in self.components:
            folder = self.path / component.name
            settings = (path for path in folder.iterdir() if path.suffix in SETTINGS)
            files += [*sorted(settings), *component.weight_files]
        return files

    def __getitem__(self, name: str) -> Component:
        for component in self.components:
            if component.name == name:
                return component
        raise ValueError(f"the model {self.path} has no part {name}")

    def __contains__(self, name: str) -> bool:
        return any(component.name == name for component in self.components)


def read_model_folder(path: Path) -> ModelFolder:
    """Checks that every part of the model is there.

    A path that is no folder of a model of ours is a `ValueError`; a folder that lacks a part a
    `BrokenModelError`, which names it.
    """
    _refuse_files(path)
    index_path = path / "model_index.json"
    if not index_path.is_file():
        raise ValueError(
            f"{path} holds no model_index.json; expected the folder of a pipeline, as "
            f"`save_pretrained` and `starflow-v export` write it{_advice(path)}"
        )
    index = _read_json(index_path)
    kind = str(index.get("_class_name"))
    if not kind.startswith(OURS):
        raise ValueError(
            f"the model {path} is a {kind}; expected a {OURS}VPipeline or a {OURS}Pipeline"
        )
    parts = {name: value[1] for name, value in index.items() if _is_part(value)}
    components = [
        _read_component(path / name, name, kind) for name, kind in parts.items() if kind is not None
    ]
    config = {name: index[name] for name in index if name not in parts and name[0] != "_"}
    return ModelFolder(path=path, kind=kind, config=config, components=tuple(components))


def _is_part(value: object) -> bool:
    """Whether an entry of the index is [library, Class], or [null, null] for a part left out."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return value == [None, None] or (isinstance(value[1], str) and value[1][:1].isupper())


def _refuse_files(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"there is no model at {path}; expected the folder of a pipeline")
    if path.is_dir():
        return
    advice = "; give the folder that it is part of"
    if path.suffix in PICKLES:
        advice = f", a pickle, which is not loaded; {CONVERSION}"
    raise ValueError(f"the model {path} is a file{advice}")


def _advice(folder: Path) -> str:
    """What to do about a folder of pickles; empty if it holds none."""
    pickles = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    if not pickles:
        return ""
    return f". {pickles[0].name} is a pickle, which is not loaded; {CONVERSION}"


def _read_component(folder: Path, name: str, kind: str) -> Component:
    if not folder.is_dir():
        raise BrokenModelError(f"the model {folder.parent} lacks its part {name} ({kind})")
    if (folder / "tokenizer_config.json").is_file():
        return Component(name=name, kind=kind, config=_read_json(folder / "tokenizer_config.json"))
    if not (folder / "config.json").is_file():
        raise BrokenModelError(f"the part {name} of the model {folder.parent} has no config.json")
    files = _weight_files(folder)
    entries = {name: entry for file in files for name, entry in _read_header(file).items()}
    return Component(
        name=name,
        kind=kind,
        config=_read_json(folder / "config.json"),
        tensors={name: math.prod(entry["shape"]) for name, entry in entries.items()},
        dtypes=tuple(sorted({entry["dtype"] for entry in entries.values()})),
        weight_files=tuple(files),
    )


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors of a component: those that its index names, or the only one."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    names = {name for path in indices for name in _read_json(path)["weight_map"].values()}
    files = [folder / name for name in sorted(names)] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise BrokenModelError(f"{folder} holds no weights (*.safetensors){_advice(folder)}")
    for file in files:
        if not file.is_file():
            raise BrokenModelError(f"the weights {file} are missing")
    return files


def _read_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors of a safetensors file: 8 bytes hold the length of the JSON that follows."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header: dict[str, dict[str, Any]] = json.loads(file.read(min(length, LARGEST_HEADER)))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModelError(f"{path} is no safetensors file ({error})") from None
    size, expected = path.stat().st_size, 8 + length + end
    if size < expected:
        raise BrokenModelError(f"{path} is cut off: it has {size} of {expected} bytes")
    return header


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BrokenModelError(f"{path} is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise BrokenModelError(f"{path} holds no JSON object")
    return content
