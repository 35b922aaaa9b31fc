"""A text encoder that somebody else has trained, from a folder of this disk."""

from pathlib import Path

from torch import nn
from transformers import AutoModelForTextEncoding, AutoTokenizer

from starflow_v.text.encoding import Tokenizer


def load_text_encoder(folder: str | Path) -> tuple[nn.Module, Tokenizer]:
    """A text encoder and its tokenizer.

    Args:
        folder: what `save_pretrained` of both wrote, or a pipeline's folder with `text_encoder`
            and `tokenizer` in it. Nothing is downloaded, no code of the folder is run.

    Raises:
        ValueError: if there is none.
    """
    folder = Path(folder)
    inside = (folder / "text_encoder").is_dir()
    encoder = folder / "text_encoder" if inside else folder
    tokenizer = folder / "tokenizer" if inside else folder
    if not (encoder / "config.json").is_file():
        raise ValueError(
            f"{folder} is no folder of a text encoder: expected its config.json, or text_encoder/ "
            "and tokenizer/ as in a pipeline"
        )
    model = AutoModelForTextEncoding.from_pretrained(encoder, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)


def text_width(encoder: nn.Module) -> int:
    """D of a text encoder of transformers."""
    return int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
