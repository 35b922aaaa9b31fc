"""Clips from files: their length, rate, size and time, and files that give none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starflow_v.data.buckets import Size
from starflow_v.data.clip_reader import ClipReader
from starflow_v.data.records import LocalFile, Record
from starflow_v.data.video_io import MediaError, PyAVDecoder
from tests.data.video_io.clips import disc_clip, gray_clip, levels_of, make_video

READER = ClipReader(
    num_frames=5,
    start_frames=3,
    fps=10,
    sizes=(Size(32, 32), Size(24, 40)),
    clips=3,
    seed=0,
    decoder=PyAVDecoder(),
)


def record(path: Path, source: Path | None = None) -> Record:
    given = None if source is None else LocalFile(source.name, source)
    return Record(medium=LocalFile(path.name, path), captions=("a",), source=given)


def test_clips_are_of_the_wanted_length_rate_and_nearest_size(tmp_path: Path) -> None:
    levels = [10 * i for i in range(24)]
    square = make_video(tmp_path / "a.mp4", gray_clip(levels), fps=20)
    read = READER((record(square), "video"))
    assert (read.size, read.sources) == (Size(32, 32), None)
    assert [clip.shape for clip in read.clips] == [(5, 32, 32, 3)] * 3
    for clip in read.clips:  # at 10 fps every other frame of 20 fps
        assert set(np.diff(levels_of(clip))) == {20}
    assert len({levels_of(clip)[0] for clip in read.clips}) > 1
    wide = make_video(tmp_path / "b.mp4", gray_clip(levels, 16, 32), fps=20)
    assert READER((record(wide), "video")).clips[0].shape == (5, 24, 40, 3)


def test_times_depend_on_seed_task_and_name_alone(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", gray_clip([i % 25 * 10 for i in range(200)]), fps=20)

    def starts(reader: ClipReader, task: str = "video") -> list[int]:
        return [levels_of(clip)[0] for clip in reader((record(path), task)).clips]

    assert starts(READER) == starts(READER)
    assert starts(replace(READER, clips=2)) == starts(READER)[:2]
    assert starts(replace(READER, seed=1)) != starts(READER) != starts(READER, "last")


def test_a_video_as_long_as_a_clip_gives_one(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", gray_clip([0, 50, 100, 150, 200]), fps=10)
    (clip,) = READER((record(path), "video")).clips
    assert levels_of(clip) == [0, 50, 100, 150, 200]


def test_stills_come_from_pictures_and_from_videos(tmp_path: Path) -> None:
    Image.fromarray(disc_clip()[0]).save(tmp_path / "a.png")
    read = READER((record(tmp_path / "a.png"), "image"))
    assert [clip.shape for clip in read.clips] == [(1, 24, 40, 3)]
    video = make_video(tmp_path / "a.mp4", disc_clip(), fps=10)
    assert [it.shape for it in READER((record(video), "image")).clips] == [(1, 24, 40, 3)] * 3


def test_a_pair_is_read_at_the_same_times(tmp_path: Path) -> None:
    levels = [10 * i for i in range(20)]
    target = make_video(tmp_path / "a.mp4", gray_clip(levels), fps=10)
    source = make_video(tmp_path / "b.mp4", gray_clip([20 + it for it in levels], 24, 24), fps=10)
    read = READER((record(target, source), "v2v"))
    assert read.sources is not None
    for clip, before in zip(read.clips, read.sources, strict=True):
        assert [it + 20 for it in levels_of(clip)] == levels_of(before)


def test_pairs_that_are_only_begun_are_shorter(tmp_path: Path) -> None:
    levels = [10 * i for i in range(20)]
    video = make_video(tmp_path / "a.mp4", gray_clip(levels), fps=10)
    read = READER((record(video, video), "v2v_start"))
    assert read.sources is not None
    assert [len(clip) for clip in read.clips + read.sources] == [3] * 6


def test_stills_of_pairs_come_from_pictures_and_from_videos(tmp_path: Path) -> None:
    Image.fromarray(gray_clip([100])[0]).save(tmp_path / "a.png")
    Image.fromarray(gray_clip([50], 24, 24)[0]).save(tmp_path / "b.png")
    pictures = READER((record(tmp_path / "a.png", tmp_path / "b.png"), "v2v_image"))
    levels = [10 * i for i in range(20)]
    target = make_video(tmp_path / "a.mp4", gray_clip(levels), fps=10)
    source = make_video(tmp_path / "b.mp4", gray_clip([20 + it for it in levels], 24, 24), fps=10)
    videos = READER((record(target, source), "v2v_image"))
    for read, change in ((pictures, -50), (videos, 20)):
        assert read.sources is not None
        for clip, before in zip(read.clips, read.sources, strict=True):
            assert clip.shape == before.shape and len(clip) == 1
            assert [it + change for it in levels_of(clip)] == levels_of(before)


@pytest.mark.parametrize("task", ["video", "image"])
def test_files_that_give_no_clip_say_why(tmp_path: Path, task: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "broken.mp4").write_bytes(b"nonsense" * 99)
    (tmp_path / "broken.png").write_bytes(b"nonsense")
    make_video(tmp_path / "sound.mp4", gray_clip([])[:0], sound=(0, 1))
    whole = make_video(tmp_path / "whole.mp4", disc_clip(60), fps=10, faststart=True).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 4])
    reasons = {
        "empty.mp4": "is empty",
        "broken.mp4": "not a video",
        "broken.png": "not an image",
        "sound.mp4": "only sound",
        "gone.mp4": "cannot be opened",
        "cut.mp4": "damaged or cut short",
    }
    for name, reason in reasons.items():
        with pytest.raises(MediaError, match=rf"{name}.*{reason}"):
            READER((record(tmp_path / name), task))


def test_a_video_that_is_too_short_is_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / "short.mp4", gray_clip([0, 50, 100]), fps=10)
    with pytest.raises(MediaError, match=r"short\.mp4: too short, 3 frames at 10 fps .* has 5"):
        READER((record(path), "video"))
