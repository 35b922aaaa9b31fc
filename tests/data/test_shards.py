"""Shards are whole or absent, made once, by one process or by many."""

import errno
import os
from pathlib import Path

import pytest
import torch

from starflow_v.data import shards
from starflow_v.data.shards import (
    Shard,
    ShardPlan,
    build_shards,
    read_header,
    shard_path,
    sign,
    wait_for_shards,
)
from starflow_v.processes import Process, this_process

ALONE = Process()


def plan(count: int = 3, *, made: list[int] | None = None, of: str = "") -> ShardPlan:
    def make(index: int) -> Shard:
        if made is not None:
            made.append(index)
        return Shard(tensors={"a": torch.full((2,), float(index))}, header={"of": of})

    return ShardPlan(name="video", count=count, make=make, made_of=lambda index: f"{of}{index}")


def test_a_full_disk_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_shards(tmp_path, plan(1), process=ALONE)

    def full(tensors: dict, path: Path, metadata: dict) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "save_file", full)
        with pytest.raises(OSError, match=r"video-00001.*No space left.*make room"):
            build_shards(tmp_path, plan(), process=ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["video-00000.safetensors"]
    assert build_shards(tmp_path, plan(), process=ALONE) == 2


def test_shards_of_other_files_are_made_anew(tmp_path: Path) -> None:
    build_shards(tmp_path, plan(), process=ALONE)
    made: list[int] = []
    assert build_shards(tmp_path, plan(made=made), process=ALONE) == 0
    assert build_shards(tmp_path, plan(made=made, of="new"), process=ALONE) == 3
    assert made == [0, 1, 2]
    assert read_header(shard_path(tmp_path, "video", 1))["of"] == "new"


def test_processes_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[int]] = [[], []]
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        build_shards(tmp_path, plan(5, made=made[rank]), process=this_process())
    assert made == [[0, 2, 4], [1, 3]]
    wait_for_shards(tmp_path, [plan(5)])  # returns: nothing is missing


def test_waiting_ends_when_others_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_shards(tmp_path, plan(), process=Process(index=0, count=2))
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        build_shards(tmp_path, plan(), process=Process(index=1, count=2))

    monkeypatch.setattr(shards.time, "sleep", sleep)
    wait_for_shards(tmp_path, [plan()])
    assert len(naps) == 1


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "video-00001.12345.part"
    leftover.write_bytes(b"half")
    long_ago = shards.time.time() - 2 * shards.ABANDONED
    os.utime(leftover, (long_ago, long_ago))
    build_shards(tmp_path, plan(), process=ALONE)
    assert not leftover.exists()


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """Two runs may fill one cache: neither may pull the file from under the other."""
    theirs = tmp_path / "video-00001.12345.part"
    theirs.write_bytes(b"half")
    build_shards(tmp_path, plan(), process=ALONE)
    assert theirs.exists()


def test_a_file_that_is_no_shard_is_named(tmp_path: Path) -> None:
    shard_path(tmp_path, "video", 1).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"video-00001\.safetensors is no shard"):
        build_shards(tmp_path, plan(), process=ALONE)


def test_a_signed_folder_refuses_others(tmp_path: Path) -> None:
    sign(tmp_path / "cache", "a codec")
    sign(tmp_path / "cache", "a codec")
    with pytest.raises(ValueError, match=r"made with something else \(a codec; wanted another"):
        sign(tmp_path / "cache", "another")
