import base64
from io import BytesIO

import numpy as np
from PIL import Image, ImageSequence

from starflow_v.studio import preview


def pictures(uri: str) -> list[np.ndarray]:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    image = Image.open(BytesIO(base64.b64decode(data)))
    return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


def shades(count: int, *, height: int = 16, width: int = 24) -> np.ndarray:
    levels = (np.arange(count) * 10 % 256).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def test_the_newest_frames_come_first_and_the_loop_goes_on() -> None:
    frames = shades(9)
    shown = pictures(preview.moving(frames, 8, newest=4))
    np.testing.assert_array_equal(shown, frames[[5, 6, 7, 8, 0, 1, 2, 3, 4]])


def test_only_the_newest_frames_of_a_long_video_are_shown() -> None:
    frames = shades(200)
    shown = pictures(preview.moving(frames, 8))
    np.testing.assert_array_equal(shown, frames[-preview.LONGEST :])


def test_large_pictures_are_made_smaller() -> None:
    assert preview.small(shades(3, height=480, width=848)).shape == (3, 272, 480, 3)
    frames = shades(2)
    assert preview.small(frames) is frames


def test_the_last_frame_given_stands_for_later_ones() -> None:
    given, made = shades(2), shades(4) + 100
    both = preview.beside(given, made)
    assert both.shape == (4, 16, 24 + preview.GAP + 24, 3)
    np.testing.assert_array_equal(both[:, 0, 0, 0], [0, 10, 10, 10])
    np.testing.assert_array_equal(both[:, :, -24:], made)
    assert (both[:, :, 24 : 24 + preview.GAP] == 255).all()
