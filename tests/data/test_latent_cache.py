"""The cache of latents: whole shards, a build that goes on, batches by seed, step and number."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from starflow_v.data.latent_cache import LatentCache, build_shards, shard_path


def encode(index: int) -> tuple[Tensor, list[list[str]]]:
    """Shard `index`: four samples whose numbers say where they come from."""
    latents = torch.arange(4.0).view(4, 1, 1, 1, 1) + 10 * index
    return latents.expand(4, 2, 3, 1, 1), [[f"{index}-{i}", "other words"] for i in range(4)]


def build(folder: Path, count: int = 3) -> int:
    return build_shards(folder, "video", count, encode, fingerprint="a codec")


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    def interrupted(index: int) -> tuple[Tensor, list[list[str]]]:
        if index == 2:
            raise KeyboardInterrupt
        return encode(index)

    with pytest.raises(KeyboardInterrupt):
        build_shards(tmp_path, "video", 3, interrupted, fingerprint="a codec")
    assert build(tmp_path) == 1
    assert build(tmp_path) == 0
    assert not list(tmp_path.glob("*.part"))


def test_another_codec_is_refused(tmp_path: Path) -> None:
    build(tmp_path)
    with pytest.raises(ValueError, match="made with something else"):
        build_shards(tmp_path, "image", 1, encode, fingerprint="another codec")


def test_a_batch_is_a_function_of_seed_step_and_number(tmp_path: Path) -> None:
    build(tmp_path)
    cache = LatentCache(tmp_path, {"video": 1.0}, {"video": 3}, seed=1)
    whole, part = cache.batch(5, range(8)), cache.batch(5, [6, 3])
    assert whole.bucket == "video" and whole.latents.shape == (8, 2, 3, 1, 1)
    assert_close(part.latents, whole.latents[[6, 3]])
    assert part.captions == [whole.captions[6], whole.captions[3]]
    assert not torch.equal(cache.batch(6, range(8)).latents, whole.latents)
    for latent, caption in zip(whole.latents, whole.captions, strict=True):
        shard, place = divmod(int(latent[0, 0]), 10)
        assert caption in (f"{shard}-{place}", "other words")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    build(tmp_path)
    shard_path(tmp_path, "video", 1).unlink()
    with pytest.raises(ValueError, match=r"lacks video-00001\.safetensors"):
        LatentCache(tmp_path, {"video": 1.0}, {"video": 3}, seed=1)
