"""What a model refuses, with advice, before its arithmetic can fail on it."""

from __future__ import annotations

from torch import Tensor


def check_text(text: Tensor | None, *, batch: int, width: int | None) -> None:
    """Text embeddings are (batch, L, width), or `None` if the model has no text (no width)."""
    if text is None and width is None:
        return
    if text is None or width is None or text.ndim != 3 or text.shape[::2] != (batch, width):
        got = "none" if text is None else f"embeddings of shape {tuple(text.shape)}"
        wanted = "none" if width is None else f"({batch}, length, {width})"
        raise ValueError(f"the text does not fit this model: got {got}, expected {wanted}")


def check_null_text(null_text: Tensor, text: Tensor) -> None:
    """The other text of guidance is as long as the text; one may serve the whole batch."""
    if null_text.shape[1:] != text.shape[1:] or null_text.shape[0] not in (1, text.shape[0]):
        raise ValueError(
            f"null_text of shape {tuple(null_text.shape)} does not fit text of shape "
            f"{tuple(text.shape)}: give one of the same shape, or one for the batch"
        )


def check_prefix(prefix: Tensor, noise: Tensor) -> None:
    """A prefix has the shape of the noise, but for its number of frames."""
    if prefix.ndim != 5 or prefix.shape[0] != noise.shape[0] or prefix.shape[2:] != noise.shape[2:]:
        raise ValueError(
            f"a prefix of shape {tuple(prefix.shape)} does not fit noise of shape "
            f"{tuple(noise.shape)}: all but the number of frames must agree"
        )


def check_times(times: Tensor | None, frames: int) -> None:
    """Refuse indices of frames that are not one for each frame."""
    if times is not None and tuple(times.shape) != (frames,):
        raise ValueError(f"times has the shape {tuple(times.shape)}; expected ({frames},)")


def check_context_noise(noise: Tensor | None, x: Tensor, *, blocks: int) -> None:
    """Context noise is one of each block for every sample."""
    expected = (x.shape[0], blocks, *x.shape[1:])
    if noise is not None and tuple(noise.shape) != expected:
        raise ValueError(f"context_noise has the shape {tuple(noise.shape)}; expected {expected}")
