"""Reading: the right frames at the right times, and clear words for bad files."""

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from starflow_v.data.video_io import (
    Decoder,
    DecordDecoder,
    MediaError,
    MediaLimits,
    PyAVDecoder,
    iter_frames,
    probe_video,
    read_video,
)
from tests.data.video_io.clips import disc_clip, gray_clip, levels_of, make_video

DECODERS: list[Decoder] = [PyAVDecoder()]
if importlib.util.find_spec("decord"):
    DECODERS.append(DecordDecoder())
every_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=lambda each: type(each).__name__)
RAMP = [0, 20, 40, 60, 80, 100, 120, 140]


@every_decoder
def test_frames_are_those_of_the_file(tmp_path: Path, decoder: Decoder) -> None:
    written = disc_clip(8, 96, 128)
    video = read_video(make_video(tmp_path / "clip.mp4", written), decoder=decoder)
    assert video.frames.shape == written.shape and video.frames.dtype == np.uint8
    assert video.fps == pytest.approx(10)
    assert not video.has_sound
    assert np.abs(video.frames.astype(int) - written).mean() < 5  # chroma has half the resolution


@every_decoder
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("fps", [5, 10, 20, 3, 24])
def test_a_wanted_rate_shows_what_is_on_screen(
    tmp_path: Path, decoder: Decoder, suffix: str, fps: int
) -> None:
    path = make_video(tmp_path / f"ramp.{suffix}", gray_clip(RAMP), fps=10)
    video = read_video(path, fps=fps, decoder=decoder)
    count = -(-len(RAMP) * fps // 10)  # frames that begin before the clip's end
    assert levels_of(video.frames) == [RAMP[i * 10 // fps] for i in range(count)]
    assert video.fps == fps


@every_decoder
def test_variable_frame_rates_follow_the_clock(tmp_path: Path, decoder: Decoder) -> None:
    """The second picture stays for 0.7 s; by count it would stay no longer than the others."""
    times = [0.0, 0.1, 0.8, 0.9]
    path = make_video(tmp_path / "vfr.mp4", gray_clip([0, 60, 120, 180]), times=times)
    frames = read_video(path, fps=10, num_frames=10, decoder=decoder).frames
    assert levels_of(frames)[:9] == [0] + 7 * [60] + [120]
    assert levels_of(read_video(path, decoder=decoder).frames) == [0, 60, 120, 180]


@every_decoder
@pytest.mark.parametrize("start", [0.0, 0.3, 0.35, 0.7])
def test_start_and_num_frames(tmp_path: Path, decoder: Decoder, start: float) -> None:
    path = make_video(tmp_path / "ramp.mp4", gray_clip(RAMP), fps=10)
    at_rate = read_video(path, fps=10, start=start, num_frames=1, decoder=decoder)
    assert levels_of(at_rate.frames) == [RAMP[int(start * 10 + 1e-6)]]
    as_is = read_video(path, start=start, decoder=decoder)
    assert levels_of(as_is.frames) == [RAMP[i] for i in range(8) if i / 10 >= start - 1e-6]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "flv", "ts"])
def test_a_start_within_a_long_clip(tmp_path: Path, suffix: str) -> None:
    """A transport stream has no index: a jump lands between key frames, on gray rubbish."""
    levels = [10 * (i % 20) for i in range(400)]  # x264 sets a key frame every 250
    path = make_video(tmp_path / f"long.{suffix}", gray_clip(levels), fps=30)
    for start in (0.0, 3.3, 12.0):
        assert levels_of(read_video(path, fps=30, start=start).frames) == levels[int(start * 30) :]


def test_a_start_within_a_long_clip_is_reached_by_a_jump(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", gray_clip([60] * 400), fps=30)
    decoded = list(PyAVDecoder().frames(path, start=12.0, limits=MediaLimits()))
    assert len(decoded) == 150 and decoded[0].time == pytest.approx(250 / 30)


@every_decoder
@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_pictures_are_turned_as_the_metadata_says(
    tmp_path: Path, decoder: Decoder, rotation: int
) -> None:
    """decord 0.6 garbles turned pictures, so its decoder leaves them to PyAV."""
    written = disc_clip(3, 48, 64)
    path = make_video(tmp_path / "turned.mp4", written, rotation=rotation)
    upright = np.rot90(written, rotation // 90, axes=(1, 2))
    frames = read_video(path, decoder=decoder).frames
    assert frames.shape == upright.shape
    assert np.abs(frames.astype(int) - upright).mean() < 6
    info = probe_video(path)
    assert (info.height, info.width, info.rotation % 360) == (*upright.shape[1:3], rotation % 360)


@every_decoder
@pytest.mark.parametrize(
    ("aspect", "width"), [(Fraction(3, 2), 96), (Fraction(1, 2), 32), (99, 64)]
)
def test_pixels_are_made_square(
    tmp_path: Path, decoder: Decoder, aspect: Fraction, width: int
) -> None:
    """Old television's are not; circles came out as ellipses. Absurd ones are not believed."""
    path = make_video(tmp_path / "wide.mp4", disc_clip(3, 48, 64), aspect=Fraction(aspect))
    info = probe_video(path)
    assert (info.height, info.width) == (48, width)
    assert read_video(path, decoder=decoder).frames.shape == (3, 48, width, 3)


@every_decoder
def test_size_fits_each_frame(tmp_path: Path, decoder: Decoder) -> None:
    path = make_video(tmp_path / "clip.mp4", disc_clip(3, 48, 64))
    assert read_video(path, size=(32, 32), decoder=decoder).frames.shape == (3, 32, 32, 3)


@every_decoder
def test_a_file_of_one_frame(tmp_path: Path, decoder: Decoder) -> None:
    path = make_video(tmp_path / "one.mp4", gray_clip([60]))
    assert levels_of(read_video(path, decoder=decoder).frames) == [60]
    assert levels_of(read_video(path, fps=10, decoder=decoder).frames)[0] == 60


def test_frames_come_one_at_a_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / "ramp.mp4", gray_clip(RAMP))
    frames = iter_frames(path)
    assert levels_of(np.stack([next(frames), next(frames)])) == RAMP[:2]
    frames.close()
    path.unlink()  # nobody holds it open


def test_probe_tells_size_rate_length_and_sound(tmp_path: Path) -> None:
    path = make_video(tmp_path / "loud.mp4", disc_clip(8, 48, 64), sound=(0, 0.5))
    info = probe_video(path)
    assert (info.height, info.width, info.has_sound) == (48, 64, True)
    assert info.fps == pytest.approx(10) and info.duration == pytest.approx(0.8, abs=0.05)
    assert read_video(path).has_sound


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.8])
@pytest.mark.parametrize("faststart", [True, False])
def test_files_cut_short_are_named(
    tmp_path: Path, suffix: str, kept: float, faststart: bool
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    path = make_video(tmp_path / f"cut.{suffix}", frames, faststart=faststart)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(MediaError, match=rf"cut\.{suffix}.*(empty|not a video|damaged)"):
        read_video(path)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_clip_may_begin_late(tmp_path: Path, suffix: str) -> None:
    """Cut out of a longer one, with its time stamps kept. A .mkv was called damaged."""
    times = [5 + index / 10 for index in range(8)]
    path = make_video(tmp_path / f"late.{suffix}", gray_clip(RAMP), times=times)
    assert levels_of(read_video(path).frames) == RAMP
    assert levels_of(read_video(path, fps=10).frames) == RAMP


def test_a_file_put_behind_another_goes_on(tmp_path: Path) -> None:
    """Transport streams may be; the second one's clock begins anew, and its frames were lost."""
    one = make_video(tmp_path / "one.ts", gray_clip(RAMP))
    both = tmp_path / "both.ts"
    both.write_bytes(2 * one.read_bytes())
    assert levels_of(read_video(both, fps=10).frames) == 2 * RAMP


@every_decoder
def test_noise_in_a_videos_clothes(tmp_path: Path, decoder: Decoder) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    with pytest.raises(MediaError, match=r"noise\.mp4: not a video"):
        read_video(path, decoder=decoder)


@every_decoder
def test_sound_alone_is_no_video(tmp_path: Path, decoder: Decoder) -> None:
    path = make_video(tmp_path / "song.mp4", gray_clip([]), sound=(0, 1))
    with pytest.raises(MediaError, match="only sound"):
        read_video(path, decoder=decoder)


def test_a_songs_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(gray_clip([60])[0]).reformat(format="yuvj420p")
        container.mux(cover.encode(picture))
        container.mux(cover.encode(None))
    with pytest.raises(MediaError, match="no pictures"):
        read_video(path)


def test_limits_are_kept(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", gray_clip(RAMP))
    with pytest.raises(MediaError, match="16x16 pixels exceed"):
        read_video(path, limits=MediaLimits(max_pixels=255))
    with pytest.raises(MediaError, match="more than 5 frames"):
        read_video(path, limits=MediaLimits(max_frames=5))
    with pytest.raises(MediaError, match="bytes of frames"):
        read_video(path, limits=MediaLimits(max_bytes=4000))
    assert len(read_video(path, num_frames=5, limits=MediaLimits(max_frames=5)).frames) == 5


def test_a_picture_shown_for_an_hour_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = make_video(tmp_path / "hour.mp4", gray_clip([0, 60]), times=[0, 3000])
    with pytest.raises(MediaError, match="more than 100 frames"):
        read_video(path, fps=30, limits=MediaLimits(max_frames=100))


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"start": -1}, {"num_frames": 0}])
def test_impossible_wishes(tmp_path: Path, wrong: dict[str, float]) -> None:
    path = make_video(tmp_path / "clip.mp4", gray_clip(RAMP))
    with pytest.raises(ValueError, match="above 0"):
        read_video(path, **wrong)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="ends before 99"):
        read_video(path, start=99)
