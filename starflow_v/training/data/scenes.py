"""Training on procedural scenes: endless, seeded, and checked by reading pixels back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from starflow_v.data.scene_latents import SHARD, SceneLatents
from starflow_v.data.scenes import StreamSettings, known_words, source_patterns
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text import CaptionPatterns
from starflow_v.training.data.flow_data import HELD_OUT, Corpus, FlowData
from starflow_v.training.data.settings import SceneData
from starflow_v.training.flow_report import held_out_captions, sample_captions


class SceneFlowData(FlowData):
    """Scenes; a shard of scenes that training never shows is held out: of videos, or of stills
    where clips have one frame."""

    @property
    def _data(self) -> SceneData:
        assert isinstance(self.settings.data, SceneData)
        return self.settings.data

    @contextmanager
    def corpora(self) -> Iterator[Sequence[Corpus]]:
        yield (
            Corpus(self.folder, self._source(), list(self._data.wanted)),
            Corpus(self.folder / HELD_OUT, self._source(held_out=True), [self._measured]),
        )

    def shards(self, *, held_out: bool) -> Mapping[str, int]:
        source = self._source(held_out=held_out)
        tasks = [self._measured] if held_out else list(self._data.wanted)
        return {task: source.shards(task) for task in tasks}

    def words(self) -> Iterable[str]:
        return known_words()

    @property
    def caption_patterns(self) -> CaptionPatterns | None:
        return source_patterns() if self._data.tell_sources else None

    def sample(self, pipeline: StarFlowVPipeline, count: int, folder: Path) -> Mapping[str, float]:
        moving = self._measured == "video"
        captions = held_out_captions(count, seed=self._data.seed, moving=moving)
        return sample_captions(pipeline, captions, folder)

    @property
    def _measured(self) -> str:
        """The task of the clips that are held out."""
        return "image" if self._data.num_frames == 1 else "video"

    def _source(self, *, held_out: bool = False) -> SceneLatents:
        data = self._data
        stream = StreamSettings(
            num_frames=data.num_frames,
            start_frames=1 + self.codec.temporal_factor,
            height=data.height,
            width=data.width,
            fps=data.fps,
        )
        if not held_out:
            stream = replace(stream, shapes=data.shapes, edits=data.edit_weights)
        return SceneLatents(
            self.codec,
            seed=data.seed + held_out,
            settings=stream,
            clips={self._measured: SHARD} if held_out else data.clips,
            held_out=held_out,
            tell_sources=data.tell_sources and not held_out,
            two_objects={} if held_out else data.two_objects,
        )
