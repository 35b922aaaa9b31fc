"""The model of a studio, and the two jobs that it does: making a video, and scoring one.

A video is made as `starflow-v generate` makes it: the same task, settings, files and record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from starflow_v.cli.common.checks import check_wishes
from starflow_v.cli.common.clips import Source, make_batch
from starflow_v.cli.common.given import describe_files
from starflow_v.cli.common.loading import find_device, load_pipeline
from starflow_v.cli.common.memory import check_memory
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.names import comparison_paths, record_path
from starflow_v.cli.common.planning import plan_batches
from starflow_v.cli.common.record import Record, hash_files, read_record
from starflow_v.cli.common.scoring import Given, read_given, score_given
from starflow_v.cli.common.settings import (
    EULER,
    SPANS,
    Settings,
    Wishes,
    settle,
    usual_solver,
)
from starflow_v.cli.common.tasks import Generate, Start
from starflow_v.data.video_io import Frames
from starflow_v.pipelines.generation import GeneratingPipeline
from starflow_v.pipelines.scores import Score
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.studio import preview
from starflow_v.studio.asking import Choices, Order
from starflow_v.studio.limits import Limits
from starflow_v.studio.line import Job
from starflow_v.text import ASPECT_RATIOS

COMMAND = "starflow-v studio"
MOST_TILES = 24
"""Latent frames of a video that are shown one by one."""


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
        self._others: dict[type[GeneratingPipeline], GeneratingPipeline] = {}
        self._hashes = hash_files(folder)

    @property
    def is_flow(self) -> bool:
        """Whether the model has tasks and a likelihood; one of flow matching only generates."""
        return self.pipe.config.get("num_inference_steps") is None

    @property
    def edits_by_instruction(self) -> bool:
        """Whether the model was trained to follow instructions."""
        return "v2v" in self.pipe.config["tasks"]

    @property
    def extends(self) -> bool:
        """Whether the model was trained to go on with a clip."""
        return "extend" in self.pipe.config["tasks"]

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
            solvers=tuple(dict.fromkeys((usual_solver(pipe, *own), "sequential", *SPANS)))
            if self.is_flow
            else (EULER,),
        )

    def pipe_for(self, kind: type[GeneratingPipeline]) -> GeneratingPipeline:
        """The pipeline of a task, in the precision of the networks."""
        if isinstance(self.pipe, kind) or not self.is_flow:
            return self.pipe
        if kind not in self._others:
            self._others[kind] = kind.from_pipe(self.pipe, torch_dtype=self.pipe.dtype)
        return self._others[kind]

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
        check_wishes(wishes, order.task, batches, self.folder)
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

    def score(self, clip: Path, prompt: str, *, draws: int, seed: int) -> tuple[Given, Score]:
        """The clip at the model's size and rate, and its bits."""
        pipe = self.pipe
        assert isinstance(pipe, StarFlowVPipeline), "only flows are asked for a score"
        given = read_given(pipe, clip, height=None, width=None, fps=None)
        return given, score_given(pipe, given, prompt, draws=draws, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a video is."""

    settings: Settings
    total_frames: int
    total_latents: int
    frames: int = 0
    """Pixel frames so far."""
    latents: int = 0
    """Latent frames so far."""
    first_after: float | None = None
    """Seconds to the first frame."""
    beside: bool = False
    """Whether the pictures below show the source, too."""
    newest: Frames
    """The newest frames, small, (f,h,w,3)."""
    fresh: int = 0
    """How many of them are those of the newest latent frame."""
    tiles: tuple[str, ...] = ()
    """A picture of each latent frame, if there are few of them."""

    def further(self, made: Frames, shown: Frames, seconds: float) -> Progress:
        """After one more latent frame (k,H,W,3), which is shown as (k,H,W',3)."""
        few = self.total_latents <= MOST_TILES
        tile = (preview.still(preview.small(made[-1:])[0]),) if few else ()
        newest = preview.small(shown)
        if self.latents:
            newest = np.concatenate((self.newest, newest))[-preview.LONGEST :]
        return replace(
            self,
            frames=self.frames + len(made),
            latents=self.latents + 1,
            first_after=seconds if self.first_after is None else self.first_after,
            newest=newest,
            fresh=len(made),
            tiles=self.tiles + tile,
        )


class Making(Job):
    """A video that is being made.

    Args:
        workshop: the model.
        order: what is asked for.
        video: where it goes.
    """

    def __init__(self, workshop: Workshop, order: Order, video: Path) -> None:
        super().__init__(order.task.files.values())
        self._workshop, self.order, self.video = workshop, order, video
        self.progress: Progress | None = None
        self.record: Record | None = None
        self._began: float | None = None
        self._ended: float | None = None
        self._given: Frames | None = None

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
            self._ended, self._given = time.perf_counter(), None

    def _begin(self, settings: Settings, start: Start) -> None:
        self._given = start.reference
        self.progress = Progress(
            settings=settings,
            total_frames=start.total_frames,
            total_latents=1 + (start.total_frames - 1) // 4,
            beside=start.reference is not None,
            newest=np.empty((0, 0, 0, 3), np.uint8),
        )

    def _advance(self, frames: Frames) -> None:
        assert self.progress is not None, "it begins before it advances"
        known, made = self.progress, frames[0]
        shown = made
        if self._given is not None:
            shown = preview.beside(self._given, made, first=known.frames)
        self.progress = known.further(made, shown, self.seconds)
        if self.stopping and self.progress.frames < known.total_frames:
            raise KeyboardInterrupt


class Scoring(Job):
    """A clip that is being scored.

    Args:
        workshop: the model.
        clip: a file.
        prompt: what it shows.
        draws: of the added noise.
        seed: of the added noise.
    """

    def __init__(
        self, workshop: Workshop, clip: Path, prompt: str, *, draws: int, seed: int
    ) -> None:
        super().__init__([clip])
        self._workshop, self._clip, self._prompt = workshop, clip, prompt
        self._draws, self._seed = draws, seed
        self.found: tuple[Given, Score] | None = None
        """The clip as the model saw it, and its score."""

    def run(self) -> None:
        """Score it."""
        self.found = self._workshop.score(
            self._clip, self._prompt, draws=self._draws, seed=self._seed
        )


def _in_words(size: tuple[int, int]) -> str:
    """Width and height, as people say it."""
    height, width = size
    return f"{width}×{height}"
