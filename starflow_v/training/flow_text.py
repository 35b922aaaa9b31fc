"""How a flow in training hears its captions: through an encoder that learns with it, through a
frozen one, or through what a frozen one has said before.

All three do the same two things: `prepare` makes of captions what a batch carries, `embed` makes of
a batch what the flow reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from starflow_v.data.fingerprint import module_fingerprint
from starflow_v.data.shards import build_shards, digest, sign, wait_for_shards
from starflow_v.data.text_cache import TextCache, text_plan
from starflow_v.processes import this_process
from starflow_v.text import (
    LabelEncoder,
    Tokenizer,
    embed_tokens,
    tiny_text_encoder,
    tokenize,
    wrap_caption,
)
from starflow_v.text.pretrained import load_text_encoder, text_width
from starflow_v.training.data.flow_data import FlowData, on_accelerator
from starflow_v.training.flow_settings import LatentSettings

PART = "text_encoder"
"""The encoder's name among the trained networks."""


class TrainedText:
    """A text encoder that learns with the flow: batches carry tokens."""

    trained = True

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer, *, length: int) -> None:
        self.encoder, self.tokenizer, self.length = encoder, tokenizer, length
        self.width = text_width(encoder)

    def prepare(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Wrapped captions -> ids and mask (B,L)."""
        ids, mask = tokenize(self.tokenizer, captions, max_length=self.length)
        return {"ids": ids, "mask": mask}

    def embed(self, modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> Tensor:
        """Embeddings (B,L,D) by the encoder among `modules`."""
        return embed_tokens(modules[PART], batch["ids"], batch["mask"])


class FrozenText(TrainedText):
    """A text encoder that stays as it is, and is no part of what is trained."""

    trained = False

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer, *, length: int) -> None:
        super().__init__(encoder.eval().requires_grad_(False), tokenizer, length=length)

    @torch.no_grad()
    def embed(self, modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> Tensor:
        """Embeddings (B,L,D), where the batch is."""
        encoder = self.encoder.to(batch["ids"].device)
        return embed_tokens(encoder, batch["ids"], batch["mask"])


class CachedText(FrozenText):
    """A frozen text encoder whose embeddings of all captions are on the disk: batches carry
    them."""

    def __init__(
        self, encoder: nn.Module, tokenizer: Tokenizer, *, length: int, data: FlowData
    ) -> None:
        super().__init__(encoder, tokenizer, length=length)
        self._data = data

    @cached_property
    def cache(self) -> TextCache:
        """The embeddings; what is missing on the disk is made first."""
        folder = self._data.folder / "text"
        vocabulary = digest(f"{word} {i}" for word, i in sorted(self.tokenizer.get_vocab().items()))
        encoder = module_fingerprint(self.encoder)
        sign(folder, f"text encoder {encoder}, words {vocabulary}, {self.length} tokens")
        plan = text_plan(self._captions(), self._embed)
        with on_accelerator(self.encoder):
            build_shards(folder, plan, process=this_process())
        wait_for_shards(folder, [plan])
        return TextCache(folder, plan.count, length=self.length)

    def prepare(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Wrapped captions -> their embeddings (B,L,D)."""
        return {"text": self.cache.embed(captions)}

    def embed(self, modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> Tensor:
        """What the batch carries."""
        return batch["text"]

    def _captions(self) -> set[str]:
        """All that can be asked: every caption and the empty one, in the words of their buckets."""
        wrapped: set[str] = set()
        for cache in (self._data.latents, self._data.held_out):
            for bucket, caption in cache.captions():
                conditions = self._data.conditions(bucket)
                wrapped |= {wrap_caption(caption, conditions), wrap_caption("", conditions)}
        return wrapped

    @torch.no_grad()
    def _embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        device = next(self.encoder.parameters()).device
        ids, mask = tokenize(self.tokenizer, captions, max_length=self.length)
        ids, mask = ids.to(device), mask.to(device)
        return embed_tokens(self.encoder, ids, mask), mask


class TrainedLabels:
    """Classes whose embeddings learn with the flow: batches carry their numbers."""

    trained = True
    tokenizer = None

    def __init__(self, encoder: LabelEncoder) -> None:
        self.encoder = encoder
        self.width = int(encoder.config["width"])

    def prepare(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Names of classes -> numbers (B,). Where there are no classes, all say nothing."""
        names = captions if self.encoder.labels else [""] * len(captions)
        return {"labels": self.encoder.numbers(names)}

    def embed(self, modules: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> Tensor:
        """Embeddings (B,1,E) by the encoder among `modules`."""
        embeddings: Tensor = modules[PART](batch["labels"])
        return embeddings


FlowText = TrainedText | FrozenText | CachedText | TrainedLabels


def open_text(settings: LatentSettings, data: FlowData) -> FlowText:
    """The text encoder that a configuration names: a small one for the words of the data, or a
    pretrained one."""
    text = settings.text
    if text.labels is not None:
        return TrainedLabels(LabelEncoder(text.labels, text.width))
    if text.pretrained is None:
        shape = {"width": text.width, "layers": text.layers, "heads": text.heads}
        encoder, tokenizer = tiny_text_encoder(data.words(), **shape)
        return TrainedText(encoder, tokenizer, length=text.length)
    loaded, its_tokenizer = load_text_encoder(text.pretrained)
    if text.trained:
        return TrainedText(loaded, its_tokenizer, length=text.length)
    if text.cache:
        return CachedText(loaded, its_tokenizer, length=text.length, data=data)
    return FrozenText(loaded, its_tokenizer, length=text.length)
