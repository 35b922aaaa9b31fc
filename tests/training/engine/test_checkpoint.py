"""Checkpoints: whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from starflow_v.training.engine import checkpoint as module
from starflow_v.training.engine.checkpoint import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)


def made(step: int) -> Checkpoint:
    kernel = torch.randn(3, 4).T
    return Checkpoint(step=step, tensors={"net.weights": {"w": kernel}}, state={"seed": 5})


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    saved = made(7)
    loaded = load_checkpoint(save_checkpoint(saved, tmp_path, keep=1))
    assert (loaded.step, loaded.state) == (7, {"seed": 5})
    assert torch.equal(loaded.tensors["net.weights"]["w"], saved.tensors["net.weights"]["w"])


def test_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 100, 20):
        save_checkpoint(made(step), tmp_path, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000020", "step-00000100"]


@pytest.mark.parametrize("moment", ["save_file", "_flush"])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    save_checkpoint(made(1), tmp_path, keep=2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, moment, full)
    with pytest.raises(OSError, match=r"No space left.*earlier ones are untouched"):
        save_checkpoint(made(2), tmp_path, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_leftovers_of_a_crash_are_not_seen_and_cleared(tmp_path: Path) -> None:
    (tmp_path / ".partial-step-00000003").mkdir(parents=True)
    assert list_checkpoints(tmp_path) == []
    save_checkpoint(made(4), tmp_path, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000004"]


def test_the_same_step_may_be_saved_again(tmp_path: Path) -> None:
    save_checkpoint(made(3), tmp_path, keep=2)
    again = made(3)
    loaded = load_checkpoint(save_checkpoint(again, tmp_path, keep=2))
    assert torch.equal(loaded.tensors["net.weights"]["w"], again.tensors["net.weights"]["w"])


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"state\.json cannot be read"):
        load_checkpoint(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="format 99, expected 1"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("net.weights.safetensors", lambda path: os.truncate(path, path.stat().st_size // 2)),
        ("net.weights.safetensors", Path.unlink),
        ("state.json", lambda path: os.truncate(path, 10)),
        ("state.json", lambda path: path.write_text('{"format": 1, "step": 9, "state": {}}')),
        ("state.json", lambda path: path.write_text("[1]")),
    ],
)
def test_a_damaged_file_is_named_and_the_checkpoint_before_it(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    paths = [save_checkpoint(made(step), tmp_path, keep=3) for step in (5, 7, 9)]
    for path in paths[::2]:
        damage(path / name)
    expected = rf"step-00000009 is no whole checkpoint: its {name} cannot .* go on from .*00000007"
    with pytest.raises(ValueError, match=expected):
        load_checkpoint(paths[2])
    with pytest.raises(ValueError, match=rf"its {name} cannot") as first:
        load_checkpoint(paths[0])
    assert "go on from" not in str(first.value)
