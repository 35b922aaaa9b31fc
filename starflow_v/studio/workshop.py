"""The model of a studio, and the two jobs that it does: making a video, and scoring one.

A video is made as `starflow-v generate` makes it: the same task, settings, files and record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from starflow_v.cli.common.checks import check_wishes
from starflow_v.cli.common.clips import Source, make_batch
from starflow_v.cli.common.given import describe_files
from starflow_v.cli.common.loading import find_device, load_pipeline
from starflow_v.cli.common.memory import check_memory
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.names import comparison_paths, record_path
from starflow_v.cli.common.planning import plan_batches
from starflow_v.cli.common.record import Record, hash_files, read_record
from starflow_v.cli.common.settings import EULER, Settings, Wishes, settle
from starflow_v.cli.common.tasks import Generate, Start
from starflow_v.data.video_io import Frames
from starflow_v.pipelines.generation import GeneratingPipeline
from starflow_v.pipelines.likelihood import ScoringPipeline
from starflow_v.pipelines.scores import Score
from starflow_v.studio.asking import Choices, Order
from starflow_v.studio.limits import Limits
from starflow_v.studio.line import Job
from starflow_v.text import ASPECT_RATIOS

COMMAND = "starflow-v studio"


class Workshop:
    """A model on its device; a pipeline of each task shares its networks.

    Args:
        folder: the model.
        wishes: device and precision.
    """

    def __init__(self, folder: ModelFolder, wishes: Wishes) -> None:
        self.folder = folder
        self._wishes = wishes
        device = find_device(wishes.device)
        check_memory(folder, wishes, device, batch=1)
        self.pipe = load_pipeline(folder, wishes, Generate().pipeline())
        self._hashes = hash_files(folder)

    @property
    def is_flow(self) -> bool:
        """Whether the model has tasks and a likelihood; one of flow matching only generates."""
        return self.pipe.config.get("num_inference_steps") is None

    @property
    def edits_by_instruction(self) -> bool:
        """Whether the model was trained to follow instructions."""
        return "v2v" in self.pipe.config["tasks"]

    def choices(self, limits: Limits) -> Choices:
        """What the page offers."""
        pipe, sizes = self.pipe, {}
        own = (pipe.defaults.height, pipe.defaults.width)
        if "aspect_ratio" in pipe.config["conditions"]:
            by_ratio = {f"{it} ({_in_words(pipe.size_for(it))})": it for it in ASPECT_RATIOS}
            sizes = {name: pipe.size_for(ratio) for name, ratio in by_ratio.items()}
        else:
            sizes = {_in_words(own): own}
        factor = pipe.codec.temporal_factor
        most = limits.times_longer * pipe.defaults.num_frames
        return Choices(
            sizes=sizes,
            most_frames=1 + (most - 1) // factor * factor,
            solvers=("sequential", "jacobi") if self.is_flow else (EULER,),
        )

    def pipe_for(self, kind: type[GeneratingPipeline]) -> GeneratingPipeline:
        """The pipeline of a task, in the precision of the networks."""
        if isinstance(self.pipe, kind) or not self.is_flow:
            return self.pipe
        pipe = kind.from_pipe(self.pipe, torch_dtype=self.pipe.dtype)
        assert isinstance(pipe, kind)
        return pipe

    def make(
        self,
        order: Order,
        video: Path,
        *,
        begin: Callable[[Settings, Start], None],
        advance: Callable[[Frames], None],
    ) -> Record:
        """Make a video; where something is given, with a comparison beside it.

        Args:
            order: what is asked for.
            video: where it goes, with its record.
            begin: told how it will be made.
            advance: given every new frame (1,k,H,W,3); it may raise `KeyboardInterrupt`, which
                leaves a shorter video.
        """
        wishes = order.wishes
        batches = plan_batches(order.prompt, None, video, seed=order.seed, batch_size=1)
        order.task.check()
        check_wishes(wishes, batches, self.folder)
        pipe = self.pipe_for(order.task.pipeline())
        settings = settle(wishes, pipe, order.task)
        start = order.task.start(pipe, settings)
        begin(settings, start)
        source = Source(
            task=order.task.name,
            given=describe_files(order.task.files),
            model=self.folder.path.resolve(),
            hashes=self._hashes,
            command=COMMAND,
        )
        with suppress(KeyboardInterrupt):  # the record tells how many frames there are
            make_batch(
                start,
                settings,
                batches[0],
                source=source,
                overwrite=False,
                compare=start.reference is not None,
                advance=advance,
            )
        return read_record(record_path(video))

    def score(self, frames: Frames, prompt: str, *, draws: int, seed: int) -> Score:
        """Bits of a clip at the model's size and rate, (F,H,W,3) with F = 1 + 4k."""
        pipe = self.pipe
        assert isinstance(pipe, ScoringPipeline), "only flows are asked for a score"
        return pipe.score(
            frames,
            prompt,
            draws=draws,
            generator=torch.Generator().manual_seed(seed),
            height=frames.shape[1],
            width=frames.shape[2],
            frame_rate=pipe.defaults.frame_rate,
        )

    def whole(self, frames: Frames) -> Frames:
        """The first 1 + 4k frames of a clip."""
        return frames[: len(frames) - (len(frames) - 1) % self.pipe.codec.temporal_factor]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a video is."""

    settings: Settings
    given: Frames | None
    """The source at the size of the video; its last frame stands for later ones."""
    total_frames: int
    chunks: tuple[Frames, ...] = ()
    """(k,H,W,3) each: what every latent frame became."""
    total_latents: int
    first_after: float | None = None
    """Seconds to the first frame."""

    @property
    def frames(self) -> int:
        """Pixel frames so far."""
        return sum(len(chunk) for chunk in self.chunks)


class Making(Job):
    """A video that is being made.

    Args:
        workshop: the model.
        order: what is asked for.
        video: where it goes.
    """

    def __init__(self, workshop: Workshop, order: Order, video: Path) -> None:
        super().__init__()
        self._workshop, self.order, self.video = workshop, order, video
        self.progress: Progress | None = None
        self.record: Record | None = None
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        if self._began is None:
            return 0.0
        return (self._ended or time.perf_counter()) - self._began

    @property
    def comparison(self) -> Path | None:
        """The video beside its source, if there is a source."""
        path = comparison_paths(self.video)[0]
        return path if path.exists() else None

    def run(self) -> None:
        """Make it; `progress` tells of every latent frame."""
        self._began = time.perf_counter()
        try:
            self.record = self._workshop.make(
                self.order, self.video, begin=self._begin, advance=self._advance
            )
        finally:
            self._ended = time.perf_counter()

    def _begin(self, settings: Settings, start: Start) -> None:
        self.progress = Progress(
            settings=settings,
            given=start.reference,
            total_frames=start.total_frames,
            total_latents=1 + (start.total_frames - 1) // 4,
        )

    def _advance(self, frames: Frames) -> None:
        assert self.progress is not None, "it begins before it advances"
        known = self.progress
        first = known.first_after or self.seconds
        chunks = (*known.chunks, frames[0])
        self.progress = replace(known, chunks=chunks, first_after=first)
        if self.stopping and self.progress.frames < known.total_frames:
            raise KeyboardInterrupt


class Scoring(Job):
    """A clip that is being scored.

    Args:
        workshop: the model.
        frames: the clip, as the model sees it.
        prompt: what it shows.
        draws: of the added noise.
        seed: of the added noise.
    """

    def __init__(
        self, workshop: Workshop, frames: Frames, prompt: str, *, draws: int, seed: int
    ) -> None:
        super().__init__()
        self._workshop, self.prompt, self._draws, self._seed = workshop, prompt, draws, seed
        self.frames = workshop.whole(frames)
        self.score: Score | None = None

    def run(self) -> None:
        """Score it."""
        self.score = self._workshop.score(
            self.frames, self.prompt, draws=self._draws, seed=self._seed
        )


def _in_words(size: tuple[int, int]) -> str:
    """Width and height, as people say it."""
    height, width = size
    return f"{width}×{height}"
