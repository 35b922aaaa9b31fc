"""Text: captions and the conditions they carry, and the encoder that reads them.

Read `captions` for what a model is told, `sizes` for aspect ratios, `encoding` for how a caption
becomes embeddings, `labels` for classes instead of captions, `words` for the embedded model's own
small encoder, `pretrained` for others, `patterns` for the likeliest of many captions.
"""

from starflow_v.text.captions import TASKS, Conditions, Task, tell_source, wrap_caption
from starflow_v.text.encoding import Tokenizer, embed_tokens, encode_captions, tokenize
from starflow_v.text.labels import LabelEncoder
from starflow_v.text.on_meta import load_tokenizer, text_encoder_on_meta
from starflow_v.text.patterns import CaptionPatterns, Likeliest, most_likely
from starflow_v.text.sizes import ASPECT_RATIOS, nearest_aspect_ratio, size_for
from starflow_v.text.words import known_words, tiny_text_encoder, unknown_words

__all__ = [
    "ASPECT_RATIOS",
    "TASKS",
    "CaptionPatterns",
    "Conditions",
    "LabelEncoder",
    "Likeliest",
    "Task",
    "Tokenizer",
    "embed_tokens",
    "encode_captions",
    "known_words",
    "load_tokenizer",
    "most_likely",
    "nearest_aspect_ratio",
    "size_for",
    "tell_source",
    "text_encoder_on_meta",
    "tiny_text_encoder",
    "tokenize",
    "unknown_words",
    "wrap_caption",
]
