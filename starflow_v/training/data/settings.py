"""Where a flow's training data come from: the part `data` of its configuration.

    data: {cache: runs/latents, clips: {video: 4096}}        procedural scenes, the default
    data: {cache: runs/latents, folder: my-videos}           a folder with metadata
    data: {cache: runs/latents, webdataset: "s-{00..09}.tar"}  WebDataset shards
    data: {cache: runs/latents, digits: test}  handwritten digits, of which "test" are held out

`digits`, `folder` or `webdataset` chooses; see `configs/folder.yaml` for all keys of files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starflow_v.data.digits import Part
from starflow_v.data.scene_latents import TASKS
from starflow_v.data.scenes import EDITS
from starflow_v.data.video_io import Decoder, DecordDecoder, PyAVDecoder
from starflow_v.text.sizes import ratio_of

DECODERS: dict[str, Callable[[], Decoder]] = {"pyav": PyAVDecoder, "decord": DecordDecoder}


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What all sources of clips have in common."""

    cache: str = "runs/latents"
    """Folder of the latents, which are made once; what is missing is made before the first step."""
    seed: int = 0
    """Chooses scenes; of files the stretches that become clips, and those that are held out."""
    num_frames: int = 17
    """Pixel frames of a clip, 1 + 4k."""
    height: int = 64
    """Pixels; with `width` also the area of other aspect ratios."""
    width: int = 64
    fps: int = 8
    """Frames per second of a clip, whatever a file has; told in captions."""
    tasks: dict[str, float] = field(default_factory=lambda: {"video": 1.0})
    """Task (video, image, extend, last, v2v, v2v_start, v2v_image) -> how often a batch is of it,
    relative to the others; 0 takes one out."""

    def __post_init__(self) -> None:
        unknown = sorted(self.tasks.keys() - set(TASKS))
        if unknown:
            raise ValueError(f"tasks {unknown} are not known: choose from {', '.join(TASKS)}")
        if min(self.tasks.values(), default=0) < 0 or not self.wanted:
            raise ValueError(f"tasks {self.tasks}: none may be negative, one must be above 0")
        if "extend" in self.wanted and self.num_frames == 1:
            raise ValueError("extend goes on from a first frame: raise data.num_frames above 1")
        if "v2v_start" in self.wanted and self.num_frames == 1:
            raise ValueError("v2v_start shows motion: raise data.num_frames above 1, or v2v_image")

    @property
    def wanted(self) -> dict[str, float]:
        """The tasks that occur."""
        return {task: weight for task, weight in self.tasks.items() if weight > 0}


@dataclass(frozen=True, kw_only=True)
class SceneData(DataSettings):
    """Procedural scenes, encoded once into a cache of latents."""

    clips: dict[str, int] = field(default_factory=lambda: {"video": 4096})
    """Task -> clips in the cache, rounded up to whole shards."""
    shapes: dict[str, float] = field(default_factory=dict)
    """Shape -> how often it is drawn, relative to the others; 1 for those that are left out."""
    edits: dict[str, float] = field(default_factory=dict)
    """Kind of edit ("change shape", ...) -> how often a pair is of it, in the same way."""
    two_objects: dict[str, float] = field(default_factory=dict)
    """Task -> the share of its scenes that have a second object; 0.1 where nothing is said."""
    tell_sources: bool = False
    """Whether instructions mostly tell what their source shows, too; the exported pipeline then
    describes the clips that it edits, see `starflow_v.pipelines.describing`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(self.edits.keys() - EDITS.keys()):
            raise ValueError(f"data.edits: {unknown} are not known: choose from {', '.join(EDITS)}")
        if min(self.edit_weights.values()) < 0 or not any(self.edit_weights.values()):
            raise ValueError(f"data.edits {self.edits}: none may be negative, one must be above 0")
        if unknown := sorted(self.two_objects.keys() - set(TASKS)):
            raise ValueError(f"data.two_objects: {unknown} are no tasks: choose from {TASKS}")
        if not all(0 <= share <= 1 for share in self.two_objects.values()):
            raise ValueError(f"data.two_objects {self.two_objects}: shares are from 0 to 1")
        without = sorted(self.wanted.keys() - self.clips.keys())
        if without:
            raise ValueError(f"clips says nothing about {', '.join(without)}: how many to encode?")

    @property
    def edit_weights(self) -> dict[str, float]:
        """Those of all kinds."""
        return dict.fromkeys(EDITS, 1.0) | self.edits


@dataclass(frozen=True, kw_only=True)
class DigitData(DataSettings):
    """scikit-learn's handwritten digits, see `starflow_v.data.digits`."""

    digits: str
    """The part that is held out: "test", or "validation" (and then nothing sees the test part)."""
    num_frames: int = 1
    height: int = 8
    width: int = 8
    tasks: dict[str, float] = field(default_factory=lambda: {"image": 1.0})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.digits not in ("test", "validation"):
            raise ValueError(f"data.digits is {self.digits!r}; expected test or validation")
        if (self.num_frames, self.height, self.width, *self.wanted) != (1, 8, 8, "image"):
            raise ValueError("the digits are images of 8x8 pixels: leave size and task as they are")

    @property
    def held_out(self) -> Part:
        """The part that is measured and never trained on."""
        return "test" if self.digits == "test" else "validation"


@dataclass(frozen=True, kw_only=True)
class FileData(DataSettings):
    """Videos and images with captions."""

    aspect_ratios: list[str] = field(default_factory=list)
    """Such as ["1:1", "16:9"]: each is a size of the area height·width, and a file goes to the
    nearest one. Empty: all are cut to height x width."""
    clips_per_file: int = 1
    """Clips that are taken from a video, at times by chance."""
    held_out: float = 0.05
    """Share of the files that are measured and never trained on; at least one file unless 0."""
    max_skipped: float = 0.1
    """Share of the files, rounded up, that may be unreadable; more of them stop the run."""
    workers: int = 1
    """Processes that read files; 0 reads in the training process, where nothing can time out."""
    timeout: float = 60.0
    """Seconds for reading one file, after which it is given up."""
    decoder: str = "pyav"
    """What reads videos: pyav, or decord where it is installed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for ratio in self.aspect_ratios:
            ratio_of(ratio)
        for name in ("held_out", "max_skipped"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share of the files, got {getattr(self, name)}")
        if self.clips_per_file < 1 or self.workers < 0 or self.timeout <= 0:
            raise ValueError(
                f"got clips_per_file={self.clips_per_file}, workers={self.workers}, "
                f"timeout={self.timeout}; expected at least 1, at least 0, and above 0"
            )
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder is {self.decoder!r}; expected one of {', '.join(DECODERS)}")


@dataclass(frozen=True, kw_only=True)
class FolderData(FileData):
    """A folder of files with `metadata.jsonl` or `metadata.csv`, see `starflow_v.data.metadata`."""

    folder: str
    """The folder."""


@dataclass(frozen=True, kw_only=True)
class TarData(FileData):
    """WebDataset shards, see `starflow_v.data.tar_shards`."""

    webdataset: str
    """Path of an uncompressed tar archive, braces expanded: data/{000..099}.tar."""
