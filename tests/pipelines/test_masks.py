"""Masks from whatever a caller has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from starflow_v.pipelines.masks import read_mask
from tests.data.video_io.clips import disc_clip, make_video

SQUARE = np.zeros((16, 24), bool)
SQUARE[4:12, 5:14] = True
LEVELS = SQUARE.astype(np.uint8) * 255
FRAMES = np.repeat(LEVELS[None], 9, axis=0)
COLOUR = np.repeat(FRAMES[..., None], 3, axis=-1)
PICTURE = Image.fromarray(LEVELS)


def read(mask: object, **changes: object) -> NDArray[np.bool_]:
    options = {"size": (16, 24), "num_frames": 9, "frame_rate": 8, "height": 16, "width": 24}
    return read_mask(mask, **options | changes)


@pytest.mark.parametrize(
    "mask",
    {
        "picture": PICTURE,
        "bits": SQUARE,
        "floats": SQUARE.astype(float),
        "one channel": LEVELS[..., None],
        "colours": COLOUR[0],
        "clip": FRAMES,
        "longer clip": np.concatenate([FRAMES, FRAMES]),
        "clip in colour": COLOUR,
        "tensor": torch.from_numpy(SQUARE),
        "tensor with a channel": torch.from_numpy(LEVELS[None]),
        "tensor of a clip": torch.from_numpy(FRAMES)[:, None],
        "list": [PICTURE] * 9,
        "list of one": [SQUARE],
    }.items(),
    ids=lambda item: item[0],
)
def test_masks_of_every_kind(mask: tuple[str, object]) -> None:
    made = read(mask[1])
    assert made.shape == (9, 16, 24) and (made == SQUARE).all()


def test_it_may_be_written_to() -> None:
    """As PyTorch expects of what becomes a tensor; it warned of masks that serve all frames."""
    assert read(PICTURE).flags.writeable


def test_files(tmp_path: Path) -> None:
    """A video is read at the rate of the clip."""
    PICTURE.save(tmp_path / "mask.png")
    still = read(tmp_path / "mask.png")
    moving = read(make_video(tmp_path / "mask.mp4", np.repeat(COLOUR, 2, axis=0), fps=16))
    assert (still == SQUARE).all() and (moving == SQUARE).all()
    assert (read(str(tmp_path / "mask.png")) == SQUARE).all()


def test_an_animation_is_a_clip(tmp_path: Path) -> None:
    """Its first picture once stood for all."""
    frames = [Image.fromarray(np.roll(LEVELS, index, axis=1)) for index in range(9)]
    still, moving = tmp_path / "still.gif", tmp_path / "moving.gif"
    frames[0].save(still)
    frames[0].save(moving, save_all=True, append_images=frames[1:], duration=120)
    assert (read(still) == SQUARE).all()
    expected = np.stack([np.asarray(frame) > 127 for frame in frames])
    assert (read(moving, frame_rate=1000 / 120) == expected).all()
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"no still picture: .*moving\.webp: not a video"):
        read(tmp_path / "moving.webp")


def test_it_is_resized_and_cropped_as_clips_are() -> None:
    mask = np.zeros((32, 96), bool)
    mask[:, 48:] = True
    made = read(mask, size=(32, 96))
    assert not made[..., :12].any() and made[..., 12:].all()


def test_what_is_transparent_is_not_white(tmp_path: Path) -> None:
    """White on nothing, as paint programs save it, was white all over."""
    picture = Image.fromarray(np.where(SQUARE[..., None], 255, 0).repeat(4, -1).astype(np.uint8))
    picture.save(tmp_path / "mask.png")
    for mask in (picture, tmp_path / "mask.png", np.asarray(picture)):
        assert (read(mask) == SQUARE).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (SQUARE[:8], "24x8 pixels and the clip 24x16"),
        ([PICTURE, SQUARE[:8]], "24x8 pixels and the clip 24x16"),
        (np.zeros_like(SQUARE), "black all over"),
        (LEVELS // 255, "black all over"),
        (FRAMES[:5], "5 frames and the clip 9"),
        ("missing.png", "cannot be opened"),
        ("concat:a.png|b.png", "no protocols"),
        (3, "mask is int"),
        ([], "mask is list"),
        (np.zeros(5, bool), "expected .H,W,3."),
        (np.float32("nan") * SQUARE, "expected .0, 1."),
    ],
)
def test_bad_masks_are_explained(mask: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(mask)


def test_files_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "whole.png")
    files = {
        "text.png": b"hello",
        "empty.png": b"",
        "cut.png": (tmp_path / "whole.png").read_bytes()[:60],
        "sound.mp4": make_video(tmp_path / "s.mp4", disc_clip(0), sound=(0.0, 0.5)).read_bytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read(tmp_path / name)
