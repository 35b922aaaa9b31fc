"""The cache of embeddings gives back what the encoder said."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.data import text_cache
from starflow_v.data.shards import build_shards
from starflow_v.data.text_cache import TextCache, text_plan
from starflow_v.processes import Process

LENGTH = 6


def embed(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """A token a letter: its number, twice; padding is zero."""
    mask = torch.tensor([[i < len(it) for i in range(LENGTH)] for it in captions]).long()
    numbers = [[float(ord(letter)) for letter in it.ljust(LENGTH)[:LENGTH]] for it in captions]
    return torch.tensor(numbers)[..., None].repeat(1, 1, 2) * mask[..., None], mask


def test_what_is_read_is_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_cache, "CAPTIONS_OF_A_SHARD", 3)
    monkeypatch.setattr(text_cache, "BATCH", 2)
    captions = ["cat", "dog", "", "zebras", "a", "cat"]
    plan = text_plan(captions, embed)
    assert build_shards(tmp_path, plan, process=Process()) == plan.count == 2
    cache = TextCache(tmp_path, plan.count, length=LENGTH)
    assert len(cache) == 5
    assert_close(cache.embed(captions), embed(captions)[0])
    with pytest.raises(ValueError, match="lacks 'bird'"):
        cache.embed(["bird"])


def test_other_captions_are_embedded_anew(tmp_path: Path) -> None:
    for captions in (["cat"], ["cat", "dog"]):
        plan = text_plan(captions, embed)
        assert build_shards(tmp_path, plan, process=Process()) == 1
        cached = TextCache(tmp_path, plan.count, length=LENGTH).embed(captions)
        assert_close(cached, embed(captions)[0])
