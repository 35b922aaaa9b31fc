"""The sound of a source beside new pictures: where it belongs, whatever the source is like."""

import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from starflow_v.data.video_io import MediaError, VideoWriter, read_video
from tests.data.video_io.clips import Clip, disc_clip, loudness, make_video

TICK = Fraction(1, 48_000)


def write(path: Path, frames: Clip, **options: object) -> Path:
    with VideoWriter(path, 10, **options) as writer:
        writer.write(frames)
    return path


def test_sound_is_carried_over(tmp_path: Path) -> None:
    source = make_video(tmp_path / "loud.mp4", disc_clip(30), sound=(1.0, 3.0))
    path = write(tmp_path / "out.mp4", disc_clip(30), sound_from=source)
    assert read_video(path).has_sound
    parts = loudness(path, 0.5)
    assert max(parts[:2]) < 0.05 and min(parts[2:6]) > 0.3  # silent for a second, then the tone


def test_sound_ends_with_the_pictures_and_begins_where_told(tmp_path: Path) -> None:
    source = make_video(tmp_path / "loud.mp4", disc_clip(40), sound=(1.0, 4.0))
    path = write(tmp_path / "out.mp4", disc_clip(10), sound_from=source, sound_start=0.5)
    with av.open(str(path)) as container:
        sound, pictures = container.streams.audio[0], container.streams.video[0]
        assert sound.codec_context.name == "aac"
        assert sound.duration * sound.time_base == pytest.approx(1.0, abs=0.05)
        assert pictures.duration * pictures.time_base == Fraction(1)
    parts = loudness(path, 0.25)[:4]
    assert max(parts[:2]) < 0.1 and min(parts[2:]) > 0.3


def test_a_source_without_sound_is_fine(tmp_path: Path) -> None:
    source = make_video(tmp_path / "mute.mp4", disc_clip())
    assert not read_video(write(tmp_path / "out.mp4", disc_clip(), sound_from=source)).has_sound


def test_sound_from_a_bad_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent"):
        VideoWriter(tmp_path / "out.mp4", 10, sound_from=tmp_path / "absent.mp4")
    assert not list(tmp_path.iterdir())


def remux(source: Path, target: Path, *, hole: tuple[float, float], **options: str) -> Path:
    """The same packets but for those of the sound in a hole, (begin, end) in seconds."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        streams = {it.index: new.add_stream_from_template(it) for it in old.streams}
        for packet in old.demux():
            if packet.dts is None:
                continue
            time = float(packet.dts * packet.time_base)
            if packet.stream.type == "video" or not hole[0] <= time < hole[1]:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def test_sound_that_comes_before_the_pictures_in_the_file_is_heard(tmp_path: Path) -> None:
    """What was read on the way to the first picture was lost: up to a second."""
    plain = make_video(tmp_path / "plain.mp4", disc_clip(30), sound=(0.0, 3.0))
    source = remux(plain, tmp_path / "chunks.mp4", hole=(0, 0), chunk_duration="900000")
    parts = loudness(write(tmp_path / "out.mp4", disc_clip(30), sound_from=source), 0.1)
    assert min(parts[:29]) > 0.3


def test_a_hole_in_the_sound_stays_where_it_is(tmp_path: Path) -> None:
    """What came after it was heard too early."""
    plain = make_video(tmp_path / "plain.mkv", disc_clip(40), sound=(0.0, 4.0))
    source = remux(plain, tmp_path / "hole.mkv", hole=(1.0, 3.0))
    parts = loudness(write(tmp_path / "out.mp4", disc_clip(40), sound_from=source), 0.5)
    assert min(parts[:2] + parts[6:8]) > 0.3 and max(parts[3:5]) < 0.05


def test_sound_may_change_its_kind_on_the_way(tmp_path: Path) -> None:
    """Broadcasts do; an edit failed after all of its work."""
    source = tmp_path / "broadcast.mkv"
    tone = 0.3 * np.sin(np.arange(1536 * 120) / 20).astype(np.float32)
    with av.open(str(source), "w") as container:
        track = container.add_stream("ac3", rate=48_000, layout="stereo")
        surround = av.CodecContext.create("ac3", "w")
        surround.sample_rate, surround.layout, surround.format = 48_000, "5.1", "fltp"
        surround.time_base = TICK
        for coder, channels, layout in ((track, 2, "stereo"), (surround, 6, "5.1")):
            half = len(tone) // 2
            begin = 0 if channels == 2 else half
            for at in range(begin, begin + half, 1536):
                samples = np.repeat(tone[None, at : at + 1536], channels, axis=0)
                frame = av.AudioFrame.from_ndarray(samples, "fltp", layout)
                frame.sample_rate, frame.pts, frame.time_base = 48_000, at, TICK
                for packet in coder.encode(frame):
                    packet.stream, packet.time_base = track, TICK
                    container.mux(packet)
    parts = loudness(write(tmp_path / "out.mp4", disc_clip(38), sound_from=source), 0.5)
    assert len(parts) >= 7 and min(parts[:7]) > 0.1


@pytest.mark.parametrize("part", ["sound", "pictures"])
def test_an_unknown_code_is_named(tmp_path: Path, part: str) -> None:
    """Without the sound the pictures are worth having; without the pictures nothing is."""
    source = make_video(tmp_path / "new.mp4", disc_clip(30), sound=(0.0, 3.0))
    names = {"sound": [b"mp4a", b"esds"], "pictures": [b"avc1", b"avcC"]}[part]
    data = source.read_bytes()
    for name in names:
        data = data.replace(name, b"zzz" + name[-1:])
    source.write_bytes(data)
    if part == "pictures":
        with pytest.raises(MediaError, match="its pictures are in an unknown code"):
            read_video(source)
        return
    with pytest.warns(UserWarning, match="its sound is in an unknown code, left out"):
        path = write(tmp_path / "out.mp4", disc_clip(30), sound_from=source)
    assert not read_video(path).has_sound


def test_a_damaged_clock_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A time stamp that is years away is years of silence, of which a clip takes its own part."""
    plain = make_video(tmp_path / "plain.mkv", disc_clip(30), sound=(0.0, 3.0))
    source = tmp_path / "late.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        streams = {it.index: new.add_stream_from_template(it) for it in old.streams}
        for packet in old.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio" and packet.dts * packet.time_base >= 1:
                packet.pts += 10**9
                packet.dts += 10**9
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = loudness(write(tmp_path / "out.mp4", disc_clip(30), sound_from=source), 0.5)
    assert min(parts[:2]) > 0.3 and max(parts[3:]) < 0.05
