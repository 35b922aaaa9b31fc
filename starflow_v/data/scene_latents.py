"""Scenes through the codec: shards of latents as the flow sees each task.

video    the clip's latents, T frames
image    one frame
extend   a clip without its first latent frame, which is unlike all others
last     the last frame, encoded alone, then the clip
v2v      the source clip, then the target, encoded apart
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from starflow_v.data.latent_cache import Encoded
from starflow_v.data.pixels import Clip, to_frames
from starflow_v.data.scenes import Sample, SceneStream, StreamSettings, TaskWeights, sample_caption
from starflow_v.vae import Codec

BATCH = 16
"""Clips that go through the codec together."""

WORDINGS = 4
"""Wordings of a caption that are kept with a clip."""

BUCKETS = tuple(field.name for field in fields(TaskWeights))


def scene_encoder(
    codec: Codec,
    bucket: str,
    *,
    seed: int,
    shard_size: int,
    settings: StreamSettings,
    held_out: bool = False,
) -> Callable[[int], Encoded]:
    """The function that makes shard i of a bucket: samples i·shard_size and so on of the stream."""
    alone = TaskWeights(**{name: float(name == bucket) for name in BUCKETS})
    stream = SceneStream(seed, replace(settings, tasks=alone), held_out=held_out)

    def encode(index: int) -> Encoded:
        places = range(index * shard_size, (index + 1) * shard_size)
        samples = [stream.sample(place) for place in places]
        return encode_samples(codec, bucket, samples), [_wordings(s, seed) for s in samples]

    return encode


@torch.no_grad()
def encode_samples(codec: Codec, bucket: str, samples: Sequence[Sample]) -> Tensor:
    """Latents (n, T, c, h, w) of samples of one bucket, joined as the task has them."""
    latents = _encode(codec, [sample.frames for sample in samples])
    if bucket == "extend":
        return latents[:, 1:]
    if bucket == "last":
        last = _encode(codec, [sample.frames[-1:] for sample in samples])
        return torch.cat((last, latents), dim=1)
    if bucket == "v2v":
        sources = [sample.source for sample in samples if sample.source is not None]
        return torch.cat((_encode(codec, sources), latents), dim=1)
    return latents


def _encode(codec: Codec, clips: Sequence[Clip]) -> Tensor:
    """Clips -> latents (n, T, c, h, w), a few at a time."""
    batches = (clips[first : first + BATCH] for first in range(0, len(clips), BATCH))
    return torch.cat([codec.encode(to_frames(batch)) for batch in batches])


def _wordings(sample: Sample, seed: int) -> list[str]:
    """The sample's own caption, and other ways to say it where there are any."""
    if sample.task == "v2v":
        return [sample.caption]
    rng = np.random.default_rng([seed, *sample.caption.encode()])
    moving = sample.task != "image"
    more = [sample_caption(rng, sample.scene, moving=moving) for _ in range(WORDINGS - 1)]
    return [sample.caption, *more]
