r"""Captions and the conditions they carry; the text encoder that reads them.

A STARFlow-V model has one way to be told anything: its caption. Task, frames per second, aspect
ratio and noise level are written around the prompt in fixed words, from the inside out::

    (v2v) make it snow                  the task's marker, then the prompt
    A video with 16 fps:\n...\n         or "An image:" where fps is 0
    ...\n in a 16:9 aspect ratio.\n
    Noise Level 500:\n...               1000 times the std of the noise on the latents

The words are part of the weights: a model that was trained with them must be asked with them. The
unconditional branch of guidance wraps the empty (or the negative) prompt the same way, so that the
two branches differ in the prompt alone.

Shapes: B captions, L text length, D text width.
"""

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as WordTokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5Config, T5EncoderModel

Tokenizer = PreTrainedTokenizerBase
"""Any tokenizer of transformers."""

Task = Literal["extend", "last", "v2v"]

TASKS: tuple[Task, ...] = ("extend", "last", "v2v")
ASPECT_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21")
"""Width to height, as captions name them."""

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
CAPTION_WORDS = (
    "noise level : a video with fps an image in aspect ratio 0123456789 (extend) (last) (v2v)"
)
TOKEN_PATTERN = r"\((?:extend|last|v2v)\)|[0-9]|:|[^\W\d_]+"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a caption says beside its prompt; None leaves a condition unsaid."""

    task: Task | None = None
    """extend: go on from known frames; last: the last frame is given; v2v: edit a given video."""
    aspect_ratio: str | None = None
    """Width to height, such as "16:9"."""
    fps: int | None = None
    """Frames per second; 0 means a still image."""
    noise_std: float | None = None
    """Standard deviation of the noise that was added to the latents."""

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; expected None or one of {', '.join(TASKS)}")
        if self.aspect_ratio is not None:
            _ratio(self.aspect_ratio)
        if self.fps is not None and self.fps < 0:
            raise ValueError(f"fps is {self.fps}; expected at least 1, or 0 for a still image")
        if self.noise_std is not None and self.noise_std < 0:
            raise ValueError(f"noise_std is {self.noise_std}; expected 0 or more")


def wrap_caption(prompt: str, conditions: Conditions) -> str:
    """The text that the encoder is given for `prompt` under `conditions`.

    A prompt may bring a task marker of its own; the one from `conditions` is put in front of it,
    so that extending an edited video reads "(extend) (v2v) ...".
    """
    caption = prompt if conditions.task is None else f"({conditions.task}) {prompt}"
    if conditions.fps is not None:
        medium = f"A video with {conditions.fps} fps:" if conditions.fps > 0 else "An image:"
        caption = f"{medium}\n{caption}\n"
    if conditions.aspect_ratio is not None:
        caption = f"{caption}\n in a {conditions.aspect_ratio} aspect ratio.\n"
    if conditions.noise_std is not None:
        caption = f"Noise Level {round(conditions.noise_std * 1000)}:\n{caption}"
    return caption


def nearest_aspect_ratio(height: int, width: int) -> str:
    """The name in `ASPECT_RATIOS` closest to width / height, compared by their logarithms."""
    if height < 1 or width < 1:
        raise ValueError(f"height and width are {height} and {width}; expected 1 pixel or more")
    return min(ASPECT_RATIOS, key=lambda name: abs(math.log(width / height / _ratio(name))))


def size_for(aspect_ratio: str, *, area: float, multiple: int) -> tuple[int, int]:
    """(height, width) of `aspect_ratio` with about `area` pixels, in multiples of `multiple`.

    Each side is rounded to the nearest multiple by itself: 640 * 640 pixels at 16:9 in multiples
    of 16 are 480 x 848.
    """
    ratio = _ratio(aspect_ratio)
    if area <= 0 or multiple < 1:
        raise ValueError(f"area is {area} and multiple is {multiple}; expected positive numbers")
    height, width = math.sqrt(area / ratio), math.sqrt(area * ratio)
    return _round_to(height, multiple), _round_to(width, multiple)


def _ratio(name: str) -> float:
    """Width over height of a name such as "16:9"."""
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", name)
    if match is None:
        known = ", ".join(ASPECT_RATIOS)
        raise ValueError(f"aspect ratio is {name!r}; expected WIDTH:HEIGHT, such as {known}")
    return int(match[1]) / int(match[2])


def _round_to(side: float, multiple: int) -> int:
    return max(1, math.floor(side / multiple + 0.5)) * multiple


def encode_captions(
    text_encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    captions: Sequence[str],
    *,
    max_length: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Embeddings (B,L,D) of `captions`, L = max_length; those of padding are zero.

    `text_encoder` is any module that takes (input_ids, attention_mask) and returns a
    `last_hidden_state`, and is given them on `device` (None: where its weights are). A caption
    longer than `max_length` tokens loses its end, with a warning.
    """
    ids, mask = tokenize(tokenizer, captions, max_length=max_length)
    device = device or next(text_encoder.parameters()).device
    return embed_tokens(text_encoder, ids.to(device), mask.to(device))


def tokenize(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], *, max_length: int
) -> tuple[Tensor, Tensor]:
    """Token numbers and the mask of those that are not padding, both (B,L), L = max_length."""
    tokens = tokenizer(
        list(captions),
        padding="max_length",
        max_length=max_length,
        truncation=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    for caption, full in zip(captions, mask.bool().all(dim=1).tolist(), strict=True):
        if full:
            _warn_if_truncated(tokenizer, caption, max_length)
    return tokens.input_ids, mask


def embed_tokens(text_encoder: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Token numbers and mask (B,L) -> embeddings (B,L,D), those of padding zero."""
    hidden = text_encoder(ids, mask).last_hidden_state
    embeddings: Tensor = hidden * rearrange(mask, "B L -> B L 1").to(hidden)
    return embeddings


def _warn_if_truncated(tokenizer: PreTrainedTokenizerBase, caption: str, max_length: int) -> None:
    length = len(tokenizer(caption, truncation=False, verbose=False).input_ids)
    if length > max_length:
        warnings.warn(
            f"the caption has {length} tokens and the model reads {max_length}: the end of "
            f"{caption!r} is cut off; use a shorter prompt",
            stacklevel=3,
        )


def tiny_text_encoder(
    words: Iterable[str], *, width: int = 128, layers: int = 2, heads: int = 4
) -> tuple[T5EncoderModel, PreTrainedTokenizerFast]:
    """A small randomly initialised T5 encoder and its tokenizer, to be trained with the flow.

    It is saved and loaded like its big siblings. Its vocabulary is `words` (phrases are split) and
    the fixed words of wrapped captions; initial weights come from torch's global generator.
    """
    if width % heads:
        raise ValueError(f"width is {width}; expected a multiple of heads, {heads}")
    tokenizer = _word_tokenizer(words)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // heads,
        d_ff=2 * width,
        num_layers=layers,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config), tokenizer


def _word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A token is a word, a digit, a colon or a task marker, in lower case; other signs separate."""
    backend = WordTokenizer(models.WordLevel({}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Split(
        Regex(TOKEN_PATTERN), behavior="removed", invert=True
    )
    text = backend.normalizer.normalize_str(" ".join([CAPTION_WORDS, *words]))
    vocabulary = sorted({piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)})
    ids = {token: i for i, token in enumerate([PAD, END, UNKNOWN, *vocabulary])}
    backend.model = models.WordLevel(ids, unk_token=UNKNOWN)
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, ids[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="right",
    )


def unknown_words(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[str]:
    """The words of `prompt` that a word-level tokenizer has never seen, once each, in order.

    Tokenizers that spell words from pieces know every word: the list is then empty.
    """
    backend = _word_level(tokenizer)
    if backend is None:
        return []
    unknown = backend.token_to_id(backend.model.unk_token)
    encoding = backend.encode(prompt, add_special_tokens=False)
    places = zip(encoding.ids, encoding.offsets, strict=True)
    words = (prompt[start:end].lower() for token, (start, end) in places if token == unknown)
    return list(dict.fromkeys(words))


def known_words(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """All words of a word-level tokenizer, sorted; empty where words are spelled from pieces."""
    backend = _word_level(tokenizer)
    return [] if backend is None else sorted(word for word in backend.get_vocab() if word.isalpha())


def _word_level(tokenizer: PreTrainedTokenizerBase) -> WordTokenizer | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    word_level = backend is not None and isinstance(backend.model, models.WordLevel)
    return backend if word_level else None
