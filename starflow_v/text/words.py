"""A small text encoder with a vocabulary of words, to be trained with a flow."""

from collections.abc import Iterable

from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as WordTokenizer
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from starflow_v.text.encoding import Tokenizer

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
CAPTION_WORDS = (
    "noise level : a video with fps an image in aspect ratio 0123456789 (extend) (last) (v2v)"
)
TOKEN_PATTERN = r"\((?:extend|last|v2v)\)|[0-9]|:|[^\W\d_]+"


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


def unknown_words(tokenizer: Tokenizer, prompt: str) -> list[str]:
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


def known_words(tokenizer: Tokenizer) -> list[str]:
    """All words of a word-level tokenizer, sorted; empty where words are spelled from pieces."""
    backend = _word_level(tokenizer)
    return [] if backend is None else sorted(word for word in backend.get_vocab() if word.isalpha())


def _word_level(tokenizer: Tokenizer) -> WordTokenizer | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    word_level = backend is not None and isinstance(backend.model, models.WordLevel)
    return backend if word_level else None
