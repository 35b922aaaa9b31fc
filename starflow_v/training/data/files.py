"""Training on videos and images with captions, from a folder or from WebDataset shards."""

from __future__ import annotations

import math
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from starflow_v.data.buckets import Size, bucket_sizes
from starflow_v.data.clip_reader import ClipReader
from starflow_v.data.file_latents import FileLatents, FilePool, SkippedFiles, shards_of
from starflow_v.data.latent_cache import latent_plan, skipped_files
from starflow_v.data.records import Record, split_held_out
from starflow_v.data.workers import WorkerPool
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text.words import TOKEN_PATTERN
from starflow_v.training.data.flow_data import HELD_OUT, Corpus, FlowData
from starflow_v.training.data.settings import DECODERS, FileData
from starflow_v.training.flow_report import draw_samples
from starflow_v.training.flow_settings import LatentSettings
from starflow_v.vae import Codec

WORDS = "words.txt"
"""File in a run's folder with the vocabulary of its text encoder."""


class FileFlowData(FlowData):
    """Files with captions. Those whose names' hashes are lowest are held out.

    Args:
        read_records: reads the list of files, when it is first needed.
    """

    def __init__(
        self, settings: LatentSettings, codec: Codec, *, read_records: Callable[[], list[Record]]
    ) -> None:
        super().__init__(settings, codec)
        self._read_records = read_records
        multiple = codec.spatial_factor * settings.token_side
        base = Size(self._data.height, self._data.width)
        self.sizes = bucket_sizes(base, self._data.aspect_ratios, multiple=multiple)
        codec.latent_frames(self._data.num_frames)

    @property
    def _data(self) -> FileData:
        assert isinstance(self.settings.data, FileData)
        return self.settings.data

    @cached_property
    def records(self) -> tuple[list[Record], list[Record]]:
        """Those that are trained on, and those that are held out; the wanted tasks' alone."""
        wanted = self._data.wanted
        records = [it for it in self._read_records() if any(it.serves(task) for task in wanted)]
        trained, held_out = split_held_out(records, self._data.held_out, seed=self._data.seed)
        for task in wanted:
            if not any(record.serves(task) for record in trained):
                kind = "pair with a source" if task.startswith("v2v") else "file"
                raise ValueError(
                    f"the data have no {kind} for the task {task} ({len(held_out)} are held out): "
                    f"add some, or take it out by data.tasks.{task}=0"
                )
        return trained, held_out

    @contextmanager
    def corpora(self) -> Iterator[Sequence[Corpus]]:
        with self._pool:
            self._skipped.add_all(already_skipped(self._corpora))
            yield self._corpora
            self._skipped.add_all(already_skipped(self._corpora))
        if self._skipped.reasons:
            warnings.warn(self._skipped.told(), stacklevel=2)

    def shards(self, *, held_out: bool) -> Mapping[str, int]:
        trained, kept = self.records
        if not held_out:
            return {task: shards_of(trained, task) for task in self._data.wanted}
        unread = already_skipped(self._corpora)
        readable = [record for record in kept if record.name not in unread]
        tasks = sorted(self._data.wanted.items(), key=lambda item: -item[1])
        measured = [task for task, _ in tasks if shards_of(readable, task)]
        return {task: shards_of(kept, task) for task in measured[:1]}

    @cached_property
    def _pool(self) -> FilePool:
        """Processes that read files."""
        data = self._data
        reader = ClipReader(
            num_frames=data.num_frames,
            start_frames=1 + self.codec.temporal_factor,
            fps=data.fps,
            sizes=self.sizes,
            clips=data.clips_per_file,
            seed=data.seed,
            decoder=DECODERS[data.decoder](),
        )
        return WorkerPool(reader, workers=data.workers, timeout=data.timeout)

    @cached_property
    def _skipped(self) -> SkippedFiles:
        count = sum(len(records) for records in self.records)
        return SkippedFiles(allowed=math.ceil(self._data.max_skipped * count))

    @cached_property
    def _corpora(self) -> list[Corpus]:
        """What is trained on and what is held out, if anything is."""
        trained, held_out = self.records
        folders = ((self.folder, trained), (self.folder / HELD_OUT, held_out))
        tasks = list(self._data.wanted)
        return [Corpus(it, self._source(records), tasks) for it, records in folders if records]

    def words(self) -> Iterable[str]:
        """The most frequent words of all captions. They are kept with the run, whose text encoder
        has a row for each of them, so that it can be exported when the files are gone."""
        path = Path(self.settings.trainer.folder) / WORDS
        if not path.is_file():
            words = frequent_words(self._captions(), self.settings.text.vocabulary)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text("\n".join(words), encoding="utf-8")
            part.replace(path)
        return path.read_text("utf-8").split("\n")

    def sample(self, pipeline: StarFlowVPipeline, count: int, folder: Path) -> Mapping[str, float]:
        trained, held_out = self.records
        described = [it for it in [*held_out, *trained] if it.source is None]
        if described:
            frames = self._data.num_frames if "video" in self._data.wanted else 1
            captions = [record.captions[0] for record in described[:count]]
            draw_samples(pipeline, captions, folder, num_frames=frames)
        return {}

    def _captions(self) -> Iterator[str]:
        for records in self.records:
            for record in records:
                yield from record.captions

    def _source(self, records: Sequence[Record]) -> FileLatents:
        data = self._data
        sizes = ", ".join(f"{data.num_frames}x{size}" for size in self.sizes)
        clips = f"{data.clips_per_file} clips of each, {sizes} at {data.fps} fps"
        return FileLatents(
            records,
            self.codec,
            pool=self._pool,
            fingerprint=f"files by seed {data.seed}, {clips}",
            skipped=self._skipped,
        )


def frequent_words(captions: Iterable[str], limit: int) -> list[str]:
    """The words of captions that are used most, sorted; ties go to the first by the alphabet.

    >>> frequent_words(["A cat and a dog", "a dog"], 2)
    ['a', 'dog']
    """
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(re.findall(TOKEN_PATTERN, unicodedata.normalize("NFKC", caption).lower()))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return sorted(word for word, _ in ranked[:limit])


def already_skipped(corpora: Iterable[Corpus]) -> dict[str, str]:
    """Files that could not be read, by the shards on the disk."""
    skipped: dict[str, str] = {}
    for folder, source, tasks in corpora:
        skipped |= skipped_files(folder, [latent_plan(source, task) for task in tasks])
    return skipped
