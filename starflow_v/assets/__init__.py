"""The models that ship with the package."""

from pathlib import Path


def embedded_model() -> Path:
    """The folder of the embedded model, as `from_pretrained` reads it."""
    return Path(__file__).parent / "scenes"


def digits_model() -> Path:
    """The folder of a small model of handwritten digits in pixels, for `StarFlowPipeline`."""
    return Path(__file__).parent / "digits"
