"""Text encoders in folders of transformers: what they are, without their weights."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForTextEncoding, AutoTokenizer, PreTrainedModel

from starflow_v.text.encoding import Tokenizer


def text_encoder_on_meta(folder: Path) -> PreTrainedModel:
    """The text encoder that `folder/config.json` describes, without memory.

    Of a model that also has a decoder (T5) it is the encoder alone.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            encoder: PreTrainedModel = AutoModelForTextEncoding.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{folder} holds no text encoder of transformers: {reason}") from None
    encoder.config.architectures = [type(encoder).__name__]
    return encoder


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in `folder`."""
    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{folder} holds no tokenizer of transformers: {reason}") from None
    return tokenizer
