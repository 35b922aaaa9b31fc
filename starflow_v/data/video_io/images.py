"""Stills from whatever holds one, as uint8 (H,W,3): what `animate IMAGE` begins with."""

import warnings
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from PIL import ExifTags, Image, UnidentifiedImageError

from starflow_v.data.video_io.frames import Frame
from starflow_v.data.video_io.safety import MediaError, MediaLimits, PathLike, open_plain_file

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow may decode here; none of them runs a program or names another file."""

LIMITS = MediaLimits()

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what brings the picture upright."""


def read_image(
    source: PathLike | Image.Image | npt.NDArray[np.generic] | torch.Tensor,
    *,
    limits: MediaLimits = LIMITS,
    ground: str = "white",
) -> Frame:
    """A picture as it is shown: turned upright, transparency over white, 8 bits, RGB.

    Args:
        source: a file; a PIL image; an array (H,W) or (H,W,C); a tensor (C,H,W) or (1,C,H,W); C is
            1, 3 or 4. Numbers are uint8, uint16 in its full range, or floats in [0, 1].
        limits: how large it may be.
        ground: what shows through where it is transparent, a colour.

    Raises:
        MediaError: the file or the numbers are not a picture, or too large a one.
    """
    if isinstance(source, torch.Tensor):
        return _from_array(_channels_last(source), "the tensor", ground)
    if isinstance(source, np.ndarray):
        return _from_array(source, "the array", ground)
    if isinstance(source, Image.Image):
        limits.check_picture("the image", *source.size)
        return _from_pillow(source, "the image", ground)
    with open_plain_file(source) as file:
        try:
            image = _open(file)
            limits.check_picture(str(source), *image.size)
            return _from_pillow(image, str(source), ground)
        except UnidentifiedImageError as error:
            names = ", ".join(FORMATS)
            raise MediaError(f"{source}: not an image. Known formats: {names}.") from error
        except Image.DecompressionBombError as error:
            raise MediaError(
                f"{source}: the picture has more than {limits.max_pixels} pixels. Make it smaller."
            ) from error
        except MediaError:
            raise
        except (OSError, SyntaxError, EOFError, ValueError) as error:
            raise MediaError(f"{source}: damaged or cut short ({error}). Save it anew.") from error


def is_still(path: PathLike) -> bool:
    """Whether a file is a picture that does not move, by its header."""
    with open_plain_file(path) as file:
        try:
            return getattr(_open(file), "n_frames", 1) == 1
        except UnidentifiedImageError:
            return False
        except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError):
            return True  # a damaged one, or too large: `read_image` tells more


def _open(file: BinaryIO) -> Image.Image:
    """Its header; Pillow need not warn of its size, since our own limit is tighter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def _from_pillow(image: Image.Image, name: str, ground: str) -> Frame:
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    image = image if turn is None else image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(_wide_grey(image, name), name, ground)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return np.array(image.convert("RGB"))


def _wide_grey(image: Image.Image, name: str) -> npt.NDArray[np.generic]:
    """Grey of more than 8 bits; Pillow's 32-bit integers hold 16-bit values."""
    values = np.asarray(image)
    if image.mode == "F":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise MediaError(
            f"{name}: grey values from {values.min()} to {values.max()}; at most 16 bits are"
            " understood. Save it with 8 or 16 bits a channel."
        )
    return values.astype(np.uint16)


def _channels_last(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    shape = tuple(tensor.shape)
    if tensor.ndim == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise MediaError(f"the tensor: got shape {shape}, expected (3,H,W): one picture.")
    values = tensor.detach().cpu()
    values = values.float() if values.is_floating_point() else values
    return np.asarray(rearrange(values, "c h w -> h w c").numpy())


def _from_array(values: npt.NDArray[np.generic], name: str, ground: str) -> Frame:
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or 0 in values.shape:
        raise MediaError(f"{name}: got shape {values.shape}, expected (H,W,3): one picture.")
    levels = _eight_bits(values, name)
    if levels.shape[-1] == 4:
        return _from_pillow(Image.fromarray(levels), name, ground)
    return np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels.copy()


def _eight_bits(values: npt.NDArray[np.generic], name: str) -> Frame:
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint16:
        return np.round(values.astype(np.float32) / 257).astype(np.uint8)
    if np.issubdtype(values.dtype, np.floating):
        floats = values.astype(np.float32)
        if np.isfinite(floats).all() and floats.min() >= 0 and floats.max() <= 1:
            return np.round(floats * 255).astype(np.uint8)
        raise MediaError(
            f"{name}: floats from {floats.min()} to {floats.max()}, expected [0, 1]. Frames in"
            " [-1, 1] are brought there by (x + 1) / 2."
        )
    raise MediaError(f"{name}: numbers of type {values.dtype}, expected uint8, uint16 or floats.")
