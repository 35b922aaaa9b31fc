from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starflow_v.data.video_io import MediaLimits, VideoWriter
from starflow_v.studio.limits import Limits
from starflow_v.studio.uploads import receive_clip, receive_image, shown_name
from starflow_v.studio.workshop import Workshop


def write_clip(path: Path, frames: int, *, size: tuple[int, int] = (32, 48)) -> Path:
    with VideoWriter(path, fps=8) as writer:
        writer.write(np.full((frames, *size, 3), 90, np.uint8))
    return path


def test_an_image_is_kept_as_it_is_and_shown_as_the_model_sees_it(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = tmp_path / "picture.PNG"
    Image.new("RGB", (300, 100), "red").save(source)
    upload = receive_image(source, tmp_path / "0001-given", workshop.pipe, Limits())
    assert upload.path == tmp_path / "0001-given.png"
    assert upload.path.read_bytes() == source.read_bytes()
    height, width = workshop.pipe.nearest_size(100, 300)
    assert upload.count == 1 and upload.size == (height, width)
    assert upload.shown.shape == (1, height, width, 3)


def test_a_clip_is_read_at_the_rate_of_the_model(workshop: Workshop, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", 9)
    upload = receive_clip(source, tmp_path / "given", workshop.pipe, Limits())
    assert upload.count == len(upload.shown) == 9 and upload.name == "clip.mp4"


def test_a_clip_that_is_too_long_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "long.mp4", 18)
    with pytest.raises(ValueError, match=r"^long.mp4: longer than 2 seconds"):
        receive_clip(source, tmp_path / "given", workshop.pipe, Limits(seconds=2.0))
    assert not (tmp_path / "given.mp4").exists()


def test_a_file_that_is_too_large_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    source = tmp_path / "large.png"
    source.write_bytes(b"\0" * (2**20 + 1))
    with pytest.raises(ValueError, match="larger than 1 MB"):
        receive_image(source, tmp_path / "given", workshop.pipe, Limits(upload_bytes=2**20))


def test_large_pictures_are_refused_by_their_header(workshop: Workshop, tmp_path: Path) -> None:
    source = tmp_path / "bomb.png"
    Image.new("1", (3000, 3000)).save(source)
    few = Limits(media=MediaLimits(max_pixels=10**6))
    with pytest.raises(ValueError, match=r"bomb\.png: pictures of 3000x3000"):
        receive_image(source, tmp_path / "given", workshop.pipe, few)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("evil.mp4", b"ffconcat version 1.0\nfile 'other.mp4'\n", "not a video"),
        ("evil.mkv", b"#EXTM3U\nhttp://example.org/a.ts\n", "not a video"),
        ("empty.mp4", b"", "is empty"),
        ("noise.webm", bytes(range(256)) * 40, "not a video"),
        ("script.svg", b"<svg/>", "expected a file in"),
        ("list.m3u8", b"#EXTM3U\n", "expected a file in"),
        ("../../up.mp4", b"text", "not a video"),
    ],
)
def test_what_is_no_clip_is_refused_and_not_kept(
    workshop: Workshop, tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=why) as caught:
        receive_clip(folder / name, tmp_path / "given", workshop.pipe, Limits())
    assert str(tmp_path / "given") not in str(caught.value), "it names the file as the visitor does"
    assert not list(tmp_path.glob("given*"))


def test_a_link_is_no_plain_file_of_its_own(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "pipe.mp4").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        receive_clip(tmp_path / "pipe.mp4", tmp_path / "given", workshop.pipe, Limits())


def test_long_names_are_cut_where_they_are_shown() -> None:
    assert shown_name("a" * 300 + ".mp4") == "a" * 59 + "…"
