"""Configuration files: defaults, overrides, and errors that name the nearest key."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path

import pytest

from starflow_v.config import from_dictionary, load_config, one_of, to_dictionary, to_yaml


@dataclass(frozen=True, kw_only=True)
class Inner:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Item:
    frames: int = 1


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "x"
    optimizer: Inner = field(default_factory=Inner)
    limit: float | None = None
    stages: list[Item] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    required: int

    def __post_init__(self) -> None:
        if self.required < 0:
            raise ValueError("required must not be negative")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_then_overrides(tmp_path: Path) -> None:
    path = written(
        tmp_path, "required: 3\noptimizer: {lr: 0.1}\nstages:\n  - {frames: 5}\nweights: {a: 1}\n"
    )
    loaded = load_config(
        Outer, path, ["optimizer.lr=1e-4", "limit=2.5", "optimizer.betas=[0.8,0.9]"]
    )
    assert loaded == Outer(
        required=3,
        optimizer=Inner(lr=1e-4, betas=(0.8, 0.9)),
        limit=2.5,
        stages=[Item(frames=5)],
        weights={"a": 1.0},
    )
    with pytest.raises(FrozenInstanceError):
        loaded.name = "y"  # type: ignore[misc]


def test_overrides_alone() -> None:
    assert load_config(Outer, overrides=["required=1"]).optimizer == Inner()


def test_written_is_read_back(tmp_path: Path) -> None:
    settings = load_config(Outer, overrides=["required=1", "stages=[{frames: 9}]"])
    assert load_config(Outer, written(tmp_path, to_yaml(settings))) == settings
    assert to_dictionary(settings)["stages"] == [{"frames": 9}]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimzer.lr=1", "unknown configuration key 'optimzer': did you mean optimizer?"),
        (
            "optimizer.lrr=1",
            "unknown configuration key 'optimizer.lrr': did you mean optimizer.lr?",
        ),
        (
            "stages=[{frame: 5}]",
            "unknown configuration key 'stages.frame': did you mean stages.frames?",
        ),
        ("qqqq=1", "known here: name, optimizer"),
        ("required=many", "many"),
        ("no-equals-sign", "key=value"),
        ("weights=[", "not valid YAML"),
    ],
)
def test_wrong_override(override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        load_config(Outer, overrides=["required=1", override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("required: [1", "not valid YAML"),
        ("- 1\n- 2\n", "key: value"),
        ("name: y\n", "required"),
        ("required: -1\n", "must not be negative"),
    ],
)
def test_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        load_config(Outer, written(tmp_path, text))
    assert message in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no configuration file"):
        load_config(Outer, tmp_path / "nothing.yaml")


@dataclass(frozen=True, kw_only=True)
class Source:
    fps: int = 8


@dataclass(frozen=True, kw_only=True)
class Files(Source):
    folder: str
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Made(Source):
    count: int = 10


@dataclass(frozen=True, kw_only=True)
class Chosen:
    data: Source = field(default_factory=Made, metadata=one_of(Files, Made))


def test_the_keys_that_are_given_choose_the_dataclass(tmp_path: Path) -> None:
    path = written(tmp_path, "data: {folder: videos}\n")
    files = load_config(Chosen, path, ["data.fps=16", "data.workers=3"])
    assert files == Chosen(data=Files(folder="videos", workers=3, fps=16))
    assert from_dictionary(Chosen, to_dictionary(files)) == files
    assert load_config(Chosen, None, ["data.count=3"]) == Chosen(data=Made(count=3))
    assert load_config(Chosen) == Chosen(data=Made())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.foldr=a", "unknown configuration key 'data.foldr': did you mean data.folder?"),
        ("data.workers=2", "'data.workers' goes with data.folder; known here: fps, count"),
        (
            "data={folder: a, count: 2}",
            "'data.count' does not go with the others; known here: fps, folder",
        ),
        ("data={folder: a, worker: 2}", "did you mean data.workers"),
        ("data={folder: a, fps: x}", "does not fit"),
    ],
)
def test_keys_of_another_dataclass_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        load_config(Chosen, None, [override])
    assert message in str(caught.value)
