"""Scenes through the codec: shards of latents as the flow sees each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np

from starflow_v.data.buckets import Size
from starflow_v.data.latent_cache import Encoded
from starflow_v.data.scenes import (
    Sample,
    Scene,
    SceneStream,
    StreamSettings,
    TaskWeights,
    sample_caption,
    source_caption,
)
from starflow_v.data.scenes.wordings import INSTRUCTIONS
from starflow_v.data.task_latents import encode_clips
from starflow_v.text import tell_source
from starflow_v.vae import Codec

WORDINGS = 4
"""Wordings of a caption that are kept with a clip."""
SHARD = 256
"""Clips in a shard."""

TASKS = tuple(field.name for field in fields(TaskWeights))


class SceneLatents:
    """A `LatentSource` of scenes: shard i of a task is samples i·256 and so on of its stream.

    Args:
        codec: encodes their clips.
        seed: chooses the stream.
        settings: what clips are like; its task weights are not used.
        clips: task -> how many, rounded up to whole shards.
        held_out: whether these are the scenes that training never shows.
        tell_sources: whether instructions mostly tell what their source shows.
        two_objects: task -> share of its scenes with a second object, where it is another one.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        seed: int,
        settings: StreamSettings,
        clips: dict[str, int],
        held_out: bool = False,
        tell_sources: bool = False,
        two_objects: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._codec, self._seed, self._settings = codec, seed, settings
        self._clips, self._held_out = clips, held_out
        self._tell_sources, self._two_objects = tell_sources, two_objects
        size = f"{settings.num_frames}x{settings.height}x{settings.width}"
        rare = {kind: it for kind, it in settings.edits.items() if it != 1}
        told = [*sorted(settings.shapes.items()), *sorted(rare.items())]
        weights = "".join(f", {name} {it:g}" for name, it in told)
        self.fingerprint = f"scenes of seed {seed}, {size} at {settings.fps:g} fps{weights}"
        if tell_sources:
            self.fingerprint += ", sources mostly told"
        for task, share in sorted(two_objects.items()):
            self.fingerprint += f", two objects in {share:g} of {task}"

    def shards(self, task: str) -> int:
        """How many shards a task has."""
        return -(-self._clips[task] // SHARD)

    def made_of(self, task: str, index: int) -> str:
        """Nothing but what the fingerprint tells."""
        return ""

    def encode(self, task: str, index: int) -> Encoded:
        """The samples of a shard."""
        settings = replace(
            self._settings,
            tasks=TaskWeights(**{name: float(name == task) for name in TASKS}),
            two_objects=self._two_objects.get(task, self._settings.two_objects),
        )
        stream = SceneStream(self._seed, settings, held_out=self._held_out)
        samples = [stream.sample(place) for place in range(index * SHARD, (index + 1) * SHARD)]
        sources = [sample.source for sample in samples if sample.source is not None]
        clips = [sample.frames for sample in samples]
        size = Size(self._settings.height, self._settings.width)
        return Encoded(
            latents={size: encode_clips(self._codec, task, clips, sources)},
            captions={size: [self._wordings(sample) for sample in samples]},
        )

    def _wordings(self, sample: Sample) -> list[str]:
        if sample.source_scene is None:
            return _captions(sample, self._seed)
        if self._tell_sources:
            return _instructions(sample, sample.source_scene)
        return [sample.caption]


def _captions(sample: Sample, seed: int) -> list[str]:
    """The sample's own caption, and other ways to say it."""
    rng = np.random.default_rng([seed, *sample.caption.encode()])
    moving = sample.task != "image"
    more = [sample_caption(rng, sample.scene, moving=moving) for _ in range(WORDINGS - 1)]
    return [sample.caption, *more]


def _instructions(sample: Sample, source: Scene) -> list[str]:
    """The instruction, mostly with what the source shows: of one thing in three wordings of four,
    of more, which are harder to tell, in every other.

    Where a mask hides a part of it none of it is told, and every other wording says nothing at all
    of what is to be seen there.
    """
    if sample.mask is not None:
        assert sample.edit is not None, "masks are of edits"
        return [sample.caption, INSTRUCTIONS[sample.edit][0]]
    told = tell_source(sample.caption, source_caption(source))
    return [sample.caption, *[told] * (WORDINGS - 1 if len(source.objects) < 2 else 1)]
