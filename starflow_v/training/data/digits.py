"""Training on scikit-learn's digits, see `starflow_v.data.digits`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from starflow_v.data.digit_latents import DigitLatents
from starflow_v.data.digits import CLASSES, Part
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.training.data.flow_data import HELD_OUT, Corpus, FlowData
from starflow_v.training.data.settings import DigitData
from starflow_v.training.flow_report import draw_samples


class DigitFlowData(FlowData):
    """Digits; what is held out is one of their parts."""

    @property
    def _data(self) -> DigitData:
        assert isinstance(self.settings.data, DigitData)
        return self.settings.data

    @contextmanager
    def corpora(self) -> Iterator[Sequence[Corpus]]:
        held_out = self._data.held_out
        trained: list[Part] = ["train"] if held_out == "validation" else ["train", "validation"]
        yield (
            Corpus(self.folder, DigitLatents(self.codec, trained), ["image"]),
            Corpus(self.folder / HELD_OUT, DigitLatents(self.codec, [held_out]), ["image"]),
        )

    def shards(self, *, held_out: bool) -> Mapping[str, int]:
        return {"image": 1}

    def words(self) -> Iterable[str]:
        return CLASSES

    def sample(self, pipeline: StarFlowVPipeline, count: int, folder: Path) -> Mapping[str, float]:
        told = CLASSES if self.settings.text.labels else [""]  # an unconditional model knows none
        labels = [told[index % len(told)] for index in range(count)]
        draw_samples(pipeline, labels, folder, num_frames=1, shown=len(CLASSES))
        return {}
