"""Writing: what is read again is what was written, and a file is whole or absent."""

import resource
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from starflow_v.data.video_io import VideoWriter, read_image, read_video
from tests.data.video_io.clips import Clip, disc_clip, gray_clip, levels_of


def write(path: Path, frames: Clip, **settings: object) -> Path:
    with VideoWriter(path, 10, **settings) as writer:  # type: ignore[arg-type]
        for begin in range(0, len(frames), 3):
            writer.write(frames[begin : begin + 3])
    assert writer.frames_written == len(frames)
    return path


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (34, 62), (360, 640)])
def test_mp4_colours_come_back(tmp_path: Path, shape: tuple[int, int]) -> None:
    written = disc_clip(7, *shape)
    video = read_video(write(tmp_path / "out.mp4", written))
    assert video.frames.shape == written.shape and video.fps == 10
    assert np.abs(video.frames.astype(int) - written).mean() < 4


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (9, 9, 9)]
)
def test_mp4_flat_colours_are_exact_to_rounding(tmp_path: Path, colour: tuple[int, ...]) -> None:
    written = np.full((3, 64, 64, 3), colour, np.uint8)
    read = read_video(write(tmp_path / "flat.mp4", written)).frames
    assert np.abs(read.astype(int) - written).max() <= 3


def test_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", disc_clip())
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)
        assert container.streams.video[0].average_rate == 10
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded


@pytest.mark.parametrize("fps", [1, 16, 23.976, 29.97, 60])
def test_mp4_rates(tmp_path: Path, fps: float) -> None:
    with VideoWriter(tmp_path / "out.mp4", fps) as writer:
        writer.write(disc_clip(5))
    assert read_video(tmp_path / "out.mp4").fps == pytest.approx(fps, rel=1e-4)


def test_odd_sides_are_padded_by_their_last_row(tmp_path: Path) -> None:
    read = read_video(write(tmp_path / "odd.mp4", gray_clip([60, 120], 17, 31))).frames
    assert read.shape == (2, 18, 32, 3) and levels_of(read) == [60, 120]


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    """x264 once gave such a clip other bits in one run of ten, through its macroblock tree."""
    noise = np.random.default_rng(0).integers(0, 255, (17, 8, 8, 3), dtype=np.uint8)
    frames = noise.repeat(8, axis=1).repeat(8, axis=2)
    files = set()
    for _ in range(60):
        write(tmp_path / "clip.mp4", frames, overwrite=True)
        files.add((tmp_path / "clip.mp4").read_bytes())
    assert len(files) == 1


def test_quality_is_a_choice(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    sizes = [write(tmp_path / f"{crf}.mp4", frames, crf=crf).stat().st_size for crf in (5, 40)]
    assert sizes[0] > 2 * sizes[1]


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    frame = disc_clip(1, 180, 320)
    tracemalloc.start()
    with VideoWriter(tmp_path / "long.mp4", 30) as writer:
        for _ in range(60):
            writer.write(frame.copy())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * frame.nbytes


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize("fps", [24, 10, 30])
def test_animations_keep_their_pace(tmp_path: Path, suffix: str, fps: float) -> None:
    """A GIF counts in hundredths: 24 fps is 4, 4, 5, ... and must not become 25."""
    path = tmp_path / f"out.{suffix}"
    with VideoWriter(path, fps) as writer:
        writer.write(gray_clip([i * 10 for i in range(24)]))
    with Image.open(path) as image:
        total = 0
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            total += image.info["duration"]
        assert image.n_frames == 24 and image.info["loop"] == 0
    assert total == pytest.approx(24_000 / fps, abs=10)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_keep_their_colours(tmp_path: Path, suffix: str) -> None:
    written = disc_clip(3)
    path = write(tmp_path / f"out.{suffix}", written)
    assert np.abs(read_image(path).astype(int) - written[0]).mean() < 6


def test_a_gif_is_read_as_a_video(tmp_path: Path) -> None:
    path = write(tmp_path / "out.gif", gray_clip([0, 60, 120]))
    assert levels_of(read_video(path, fps=10).frames) == [0, 60, 120]


def test_a_gif_has_a_top_speed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 50 frames per second, got 60"):
        VideoWriter(tmp_path / "fast.gif", 60)


def test_a_folder_of_pictures_is_lossless(tmp_path: Path) -> None:
    written = disc_clip(4)
    path = write(tmp_path / "frames", written)
    names = sorted(entry.name for entry in path.iterdir())
    assert names == [f"frame_{i:05d}.png" for i in range(4)]
    assert np.array_equal(np.stack([read_image(path / name) for name in names]), written)


def test_one_picture(tmp_path: Path) -> None:
    written = disc_clip(2)
    assert np.array_equal(read_image(write(tmp_path / "one.png", written[:1])), written[0])
    with pytest.raises(ValueError, match="holds one frame"):
        write(tmp_path / "two.png", written)
    assert not list(tmp_path.glob("two*"))


KINDS = ["out.mp4", "out.gif", "out.webp", "out.png", "out"]


@pytest.mark.parametrize("name", KINDS)
def test_the_name_is_taken_only_when_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / "made" / "on the way" / name
    with VideoWriter(path, 10) as writer:
        writer.write(gray_clip([60]))
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", KINDS)
def test_an_error_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="model"), VideoWriter(tmp_path / name, 10) as writer:
        writer.write(gray_clip([60]))
        raise RuntimeError("the model failed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_no_frames_is_an_error_and_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no frames"), VideoWriter(tmp_path / name, 10):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_overwritten_unasked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, gray_clip([60]))
    with pytest.raises(FileExistsError, match="exists already"):
        VideoWriter(path, 10)
    write(path, gray_clip([120]), overwrite=True)
    shown = path / "frame_00000.png" if path.is_dir() else path
    frame = read_video(shown).frames[0] if name == "out.mp4" else read_image(shown)
    assert levels_of(frame[None]) == [120]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_failed_overwriting_keeps_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", gray_clip([60]))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), VideoWriter(path, 10, overwrite=True) as writer:
        writer.write(gray_clip([120]))
        raise RuntimeError
    assert path.read_bytes() == before


def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("years of work")
    for name in ("thesis", "thesis.mp4"):
        (tmp_path / "thesis.mp4").mkdir(exist_ok=True)
        with pytest.raises(FileExistsError):
            VideoWriter(tmp_path / name, 10, overwrite=True)
    assert (folder / "chapter1.tex").exists()


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.mp4.part").write_bytes(b"half a video")
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "frame_00000.png").touch()
    write(tmp_path / "out.mp4", gray_clip([60]))
    write(tmp_path / "out", gray_clip([60]))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "out.mp4"]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out"])
def test_ctrl_c_makes_a_shorter_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / name, 10) as writer:
        writer.write(gray_clip([0, 60]))
        signal.raise_signal(signal.SIGINT)
    path = tmp_path / name
    count = len(list(path.iterdir())) if path.is_dir() else len(read_video(path).frames)
    assert count == 2


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def kind(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that ends a command."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_an_end_by_a_signal_waits_for_the_end_of_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    """Between encoder and file an interruption would lose a packet, on which others lean."""
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 10) as writer:
        sink_write = writer._sink.write

        def interrupted_write(frame: Clip) -> None:
            signal.raise_signal(kind)
            sink_write(frame)

        writer.write(gray_clip([0, 60]))
        monkeypatch.setattr(writer._sink, "write", interrupted_write)
        writer.write(gray_clip([120, 180]))
    assert levels_of(read_video(path).frames) == [0, 60, 120]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", 10):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit on file sizes stands for the full disk: the system refuses writes alike."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("name", "size"),
    [("out.mp4", 100_000), ("out.mp4", 10), ("out.gif", 100_000), ("out", 10_000)],
)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str, size: int) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (20, 128, 128, 3), np.uint8)
    with pytest.raises(OSError, match=f"the disk is full after.*{name}"), files_of_at_most(size):
        write(tmp_path / name, frames)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.float32),
        np.zeros((1, 6, 4, 3), np.uint8),
    ],
)
def test_frames_of_another_kind_are_refused(tmp_path: Path, wrong: Clip) -> None:
    with pytest.raises(ValueError, match="got frames"), VideoWriter(tmp_path / "out", 10) as writer:
        writer.write(np.zeros((1, 4, 4, 3), np.uint8))
        writer.write(wrong)


@pytest.mark.parametrize("name", ["out.avi", "out.mp4x", "out.jpeg"])
def test_unknown_suffixes_are_told_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"\.mp4, \.gif"):
        VideoWriter(tmp_path / "folder" / name, 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_impossible_rates(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match="frames per second"):
        VideoWriter(tmp_path / "out.mp4", fps)


def test_protocols_in_output_names_are_only_names(tmp_path: Path) -> None:
    path = write(tmp_path / "concat:a|b.mp4", gray_clip([60]))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
