"""Stills of every make become the picture that a viewer shows."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageOps

from starflow_v.data.video_io import MediaError, MediaLimits, is_still, read_image

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREEN = Image.new("RGB", (20, 12), "green")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm"])
def test_lossless_files_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path)
    assert np.array_equal(read_image(path), PICTURE)
    assert np.array_equal(read_image(str(path)), PICTURE)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_files_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"flat.{suffix}"
    Image.new("RGB", (20, 12), (200, 60, 30)).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - (200, 60, 30)).max() <= 6


@pytest.mark.parametrize(
    "source",
    [
        PICTURE,
        PICTURE.astype(np.uint16) * 257,
        PICTURE / 255,
        (PICTURE / 255).astype(np.float32),
        Image.fromarray(PICTURE),
        torch.from_numpy(PICTURE).permute(2, 0, 1),
        torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255,
        (torch.from_numpy(PICTURE).permute(2, 0, 1) / 255).double(),
    ],
    ids=["uint8", "uint16", "float64", "float32", "pil", "tensor", "tensor batch", "double tensor"],
)
def test_all_holders_of_a_picture_agree(source: object) -> None:
    pixels = read_image(source)  # type: ignore[arg-type]
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, PICTURE)


def test_what_is_returned_is_a_copy() -> None:
    source = PICTURE.copy()
    read_image(source)[...] = 0
    assert np.array_equal(source, PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_and_mirrors(tmp_path: Path, orientation: int) -> None:
    """The camera stores what the sensor saw; orientation says how it was held."""
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.swapaxes(0, 1),
        6: np.rot90(PICTURE),
        7: PICTURE[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(PICTURE, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert np.array_equal(read_image(path), PICTURE)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:, :10, 3] = 0
    path = tmp_path / "cut_out.png"
    Image.fromarray(rgba).save(path)
    expected = PICTURE.copy()
    expected[:, :10] = 255
    assert np.array_equal(read_image(path), expected)
    assert np.array_equal(read_image(rgba), expected)


def test_palettes_and_their_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    path = tmp_path / "palette.png"
    image.save(path)
    assert read_image(path)[:2, 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    image.save(path, transparency=0)
    assert read_image(path)[:2, 0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize(
    ("mode", "stored", "shown"),
    [("1", 1, 255), ("L", 77, 77), ("LA", (77, 255), 77), ("CMYK", (0, 0, 0, 178), 77)],
)
def test_other_modes(mode: str, stored: int | tuple[int, ...], shown: int) -> None:
    assert read_image(Image.new(mode, (3, 2), stored)).tolist() == [[[shown] * 3] * 3] * 2


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    """`Image.convert("RGB")` would clip all above 255 to white."""
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(levels).save(path)
    assert read_image(path)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "two.gif", save_all=True, append_images=[second])
    assert read_image(tmp_path / "two.gif")[0, 0].tolist() == [255, 0, 0]


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    """60,000 x 60,000 pixels from a few hundred bytes; decoding it would take 10 GB."""
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = _crc(bytes(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"bomb\.png: the picture has more than \d+ pixels"):
        read_image(path)
    with pytest.raises(MediaError, match="20x12 pixels exceed"):
        read_image(Image.fromarray(PICTURE), limits=MediaLimits(max_pixels=239))


def _crc(chunk: bytes) -> bytes:
    return zlib.crc32(chunk).to_bytes(4, "big")


def test_a_broken_tag_beside_the_orientation_does_no_harm(tmp_path: Path) -> None:
    """Pillow packs all tags anew when it turns a picture: its `struct.error` ended the command."""
    upside_down = struct.pack("<HHII", 0x0112, 3, 1, 3)
    width_in_words = struct.pack("<HHI4s", 0x0100, 2, 4, b"four")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + upside_down + width_in_words + bytes(4)
    path = tmp_path / "phone.png"
    Image.fromarray(PICTURE[::-1, ::-1].copy()).save(path, exif=exif)
    with Image.open(path) as image, pytest.raises(struct.error):
        ImageOps.exif_transpose(image)
    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize(
    ("save", "still"), [({}, True), ({"save_all": True, "append_images": [GREEN]}, False)]
)
@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_stills_are_told_from_animations(
    tmp_path: Path, suffix: str, save: dict[str, Any], still: bool
) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, **save)
    assert is_still(path) == still


def test_what_is_no_picture_is_no_still(tmp_path: Path) -> None:
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("hello")
    Image.fromarray(PICTURE).save(cut)
    cut.write_bytes(cut.read_bytes()[:60])
    assert not is_still(text)
    assert is_still(cut)  # `read_image` says what is wrong with it


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_damaged_files_are_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(MediaError, match=rf"cut\.{suffix}"):
        read_image(path)


def test_damage_that_pillow_calls_a_wrong_value_is_named(tmp_path: Path) -> None:
    """A comment that unpacks to gigabytes, and levels that are no numbers."""
    bomb, text = tmp_path / "bomb.png", tmp_path / "text.ppm"
    Image.new("RGB", (8, 8)).save(bomb)
    comment = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(2**24))
    chunk = (len(comment) - 4).to_bytes(4, "big") + comment + _crc(comment)
    data = bomb.read_bytes()
    bomb.write_bytes(data[:33] + chunk + data[33:])
    text.write_bytes(b"P3\n2 2\n255\nred green blue\n")
    for path in (bomb, text):
        with pytest.raises(MediaError, match=f"{path.name}: damaged or cut short"):
            read_image(path)


@pytest.mark.parametrize("name", ["https://host/a.png", "absent.png", "-", "."])
def test_only_files_are_opened(name: str) -> None:
    with pytest.raises(MediaError):
        read_image(name)


def test_scripts_are_not_images(tmp_path: Path) -> None:
    """Pillow would hand PostScript to Ghostscript, a program."""
    path = tmp_path / "picture.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(MediaError, match="not an image"):
        read_image(path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((2, 3, 4, 3), np.uint8), "expected"),
        (np.zeros((4, 4, 2), np.uint8), "expected"),
        (np.zeros((0, 4, 3), np.uint8), "expected"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.full((4, 4, 3), -1.0), r"\[0, 1\]"),
        (np.full((4, 4, 3), np.nan), r"\[0, 1\]"),
        (torch.zeros(5, 5, 3), "expected"),
        (torch.zeros(2, 3, 4, 4), "expected"),
    ],
)
def test_numbers_that_are_no_picture(wrong: npt.NDArray[np.generic], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        read_image(wrong)
