"""The model that ships with the package."""

from pathlib import Path


def embedded_model() -> Path:
    """The folder of the embedded model, as `from_pretrained` reads it."""
    return Path(__file__).parent / "scenes"
