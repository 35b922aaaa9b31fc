"""Training on procedural scenes: endless, seeded, and checked by reading pixels back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from starflow_v.data.scene_latents import SHARD, SceneLatents
from starflow_v.data.scenes import StreamSettings, known_words
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.training.data.flow_data import HELD_OUT, Corpus, FlowData
from starflow_v.training.data.settings import SceneData
from starflow_v.training.flow_report import held_out_captions, sample_captions


class SceneFlowData(FlowData):
    """Scenes; a shard of videos of scenes that training never shows is held out."""

    @property
    def _data(self) -> SceneData:
        assert isinstance(self.settings.data, SceneData)
        return self.settings.data

    @contextmanager
    def corpora(self) -> Iterator[Sequence[Corpus]]:
        yield (
            Corpus(self.folder, self._source(), list(self._data.wanted)),
            Corpus(self.folder / HELD_OUT, self._source(held_out=True), ["video"]),
        )

    def shards(self, *, held_out: bool) -> Mapping[str, int]:
        source = self._source(held_out=held_out)
        tasks = ["video"] if held_out else list(self._data.wanted)
        return {task: source.shards(task) for task in tasks}

    def words(self) -> Iterable[str]:
        return known_words()

    def sample(self, pipeline: StarFlowVPipeline, count: int, folder: Path) -> Mapping[str, float]:
        captions = held_out_captions(count, seed=self._data.seed)
        return sample_captions(pipeline, captions, folder)

    def _source(self, *, held_out: bool = False) -> SceneLatents:
        data = self._data
        stream = StreamSettings(
            num_frames=data.num_frames,
            height=data.height,
            width=data.width,
            fps=data.fps,
            shapes={} if held_out else data.shapes,
        )
        return SceneLatents(
            self.codec,
            seed=data.seed + held_out,
            settings=stream,
            clips={"video": SHARD} if held_out else data.clips,
            held_out=held_out,
        )
