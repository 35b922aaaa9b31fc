"""The cache of latents: batches by seed, step and number; buckets of one task and size."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v.data.buckets import Bucket, Size
from starflow_v.data.latent_cache import Encoded, LatentCache, latent_plan, skipped_files
from starflow_v.data.shards import build_shards, shard_path
from starflow_v.processes import Process

SQUARE, WIDE = Size(16, 16), Size(8, 24)


class Numbers:
    """Four square samples a shard, and in every other shard a wide one, that say where they come
    from."""

    fingerprint = "numbers"

    def shards(self, task: str) -> int:
        return 3

    def made_of(self, task: str, index: int) -> str:
        return ""

    def encode(self, task: str, index: int) -> Encoded:
        latents = (torch.arange(4.0).view(4, 1, 1, 1, 1) + 10 * index).expand(4, 2, 3, 2, 2)
        captions = {SQUARE: [[f"{index}-{i}", "other words"] for i in range(4)]}
        tensors = {SQUARE: latents}
        if index % 2 == 0:
            tensors[WIDE] = torch.full((1, 2, 3, 1, 3), float(index))
            captions[WIDE] = [[f"wide {index}"]]
        return Encoded(latents=tensors, captions=captions, skipped={f"{index}.mp4": "broken"})


def build(folder: Path, *tasks: str) -> None:
    for task in tasks:
        build_shards(folder, latent_plan(Numbers(), task), process=Process())


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    class Interrupted(Numbers):
        def encode(self, task: str, index: int) -> Encoded:
            if index == 2:
                raise KeyboardInterrupt
            return super().encode(task, index)

    with pytest.raises(KeyboardInterrupt):
        build_shards(tmp_path, latent_plan(Interrupted(), "video"), process=Process())
    assert build_shards(tmp_path, latent_plan(Numbers(), "video"), process=Process()) == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_batch_is_a_function_of_seed_step_and_number(tmp_path: Path) -> None:
    build(tmp_path, "video")
    cache = LatentCache(tmp_path, {"video": 1.0}, {"video": 3}, seed=1)
    whole, part = cache.batch(5, range(8)), cache.batch(5, [6, 3])
    assert whole.bucket == Bucket("video", SQUARE) and whole.latents.shape == (8, 2, 3, 2, 2)
    assert_close(part.latents, whole.latents[[6, 3]])
    assert part.captions == [whole.captions[6], whole.captions[3]]
    assert not torch.equal(cache.batch(6, range(8)).latents, whole.latents)
    for latent, caption in zip(whole.latents, whole.captions, strict=True):
        shard, place = divmod(int(latent.flatten()[0]), 10)
        assert caption in (f"{shard}-{place}", "other words")


def test_a_batch_is_of_one_task_and_size_each_as_often_as_told(tmp_path: Path) -> None:
    build(tmp_path, "video", "image")
    weights, shards = {"video": 3.0, "image": 1.0, "last": 0.0}, {"video": 3, "image": 3}
    cache = LatentCache(tmp_path, weights, shards, seed=0)
    assert cache.sizes() == {
        Bucket(task, size): count
        for task in ("video", "image")
        for size, count in ((WIDE, 2), (SQUARE, 12))
    }
    drawn = [cache.batch(step, range(3)) for step in range(400)]
    assert {tuple(it.latents.shape[-2:]) for it in drawn if it.bucket.size == WIDE} == {(1, 3)}
    videos = sum(it.bucket.task == "video" for it in drawn) / 400
    wide = sum(it.bucket.size == WIDE for it in drawn) / 400
    assert abs(videos - 3 / 4) < 0.07 and abs(wide - 1 / 7) < 0.06


def test_captions_are_told_with_their_buckets(tmp_path: Path) -> None:
    build(tmp_path, "video")
    told = set(LatentCache(tmp_path, {"video": 1.0}, {"video": 1}, seed=0).captions())
    assert (Bucket("video", WIDE), "wide 0") in told
    assert (Bucket("video", SQUARE), "0-3") in told and len(told) == 6


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    build(tmp_path, "video")
    shard_path(tmp_path, "video", 1).unlink()
    with pytest.raises(ValueError, match=r"lacks video-00001\.safetensors"):
        LatentCache(tmp_path, {"video": 1.0}, {"video": 3}, seed=1)


def test_a_task_without_samples_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sample of the task video"):
        LatentCache(tmp_path, {"video": 1.0}, {"video": 0}, seed=1)


def test_files_that_were_skipped_are_remembered(tmp_path: Path) -> None:
    build(tmp_path, "video")
    shard_path(tmp_path, "video", 1).unlink()
    skipped = skipped_files(tmp_path, [latent_plan(Numbers(), "video")])
    assert skipped == {"0.mp4": "broken", "2.mp4": "broken"}
