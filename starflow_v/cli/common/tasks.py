"""What a command makes its videos from: nothing but words, an image, a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from starflow_v import (
        StarFlowVExtendPipeline,
        StarFlowVImageToVideoPipeline,
        StarFlowVPipeline,
        StarFlowVVideoToVideoPipeline,
    )
    from starflow_v.cli.common.settings import Settings
    from starflow_v.data.video_io import Frames, VideoInfo
    from starflow_v.pipelines.generation import GeneratingPipeline


@dataclass(frozen=True, kw_only=True)
class Start:
    """A task with its files read: ready to make videos."""

    stream: Callable[..., Iterator[Any]]
    """The pipeline's `stream`, which wants the prompts and the settings yet."""
    total_frames: int
    """Frames of the whole video."""
    reference: Frames | None = None
    """What was given, (F,H,W,3), at the size of the video, with gray where a mask hides it; its
    last frame stands for later ones."""
    sound: Path | None = None
    """A file whose sound is carried over."""


class Task(ABC):
    """A kind of video, and the files that it is made from, one field each."""

    name: ClassVar[str]
    """The command's."""
    edits: ClassVar[bool] = False
    """Whether a clip is changed."""

    @property
    def masked(self) -> bool:
        """Whether only a part of it is."""
        return "mask" in self.files

    @property
    def files(self) -> dict[str, Path]:
        """The files that were given, by the names of their fields."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: path for name, path in values.items() if path is not None}

    @classmethod
    def required(cls) -> list[str]:
        """The files without which it cannot be."""
        return [field.name for field in fields(cls) if field.default is MISSING]  # type: ignore[arg-type]

    def check(self) -> None:
        """Refuse files that cannot be read, before the model is loaded."""
        from starflow_v.data.video_io.safety import open_plain_file

        for path in self.files.values():
            open_plain_file(path).close()

    def expected_frames(self, wish: int | None, frame_rate: float) -> int | None:
        """How many frames are made, told before the model is loaded; None: as it has them."""
        return wish

    @abstractmethod
    def pipeline(self) -> type[GeneratingPipeline]:
        """The class of the pipeline."""

    @abstractmethod
    def size(self, pipe: GeneratingPipeline) -> tuple[int, int]:
        """(height, width) where none is wished for."""

    def num_frames(self, pipe: GeneratingPipeline, wish: int | None, frame_rate: int) -> int:
        """How many frames are made, or (to extend) added, where so many are wished for."""
        return pipe.whole_frames(pipe.defaults.num_frames if wish is None else wish)

    @abstractmethod
    def start(self, pipe: GeneratingPipeline, settings: Settings) -> Start:
        """Read the files at the size and the rate of the settings."""


@dataclass(frozen=True, kw_only=True)
class Generate(Task):
    """A video of words alone."""

    name = "generate"

    def pipeline(self) -> type[StarFlowVPipeline]:
        from starflow_v import StarFlowVPipeline

        return StarFlowVPipeline

    def size(self, pipe: GeneratingPipeline) -> tuple[int, int]:
        return pipe.defaults.height, pipe.defaults.width

    def start(self, pipe: GeneratingPipeline, settings: Settings) -> Start:
        assert isinstance(pipe, self.pipeline())
        stream = partial(pipe.stream, num_inference_steps=settings.steps)
        return Start(stream=stream, total_frames=settings.num_frames)


@dataclass(frozen=True, kw_only=True)
class Animate(Task):
    """A video that begins with an image, and may end with another."""

    name = "animate"
    image: Path
    last_image: Path | None = None

    def pipeline(self) -> type[StarFlowVImageToVideoPipeline]:
        from starflow_v import StarFlowVImageToVideoPipeline

        return StarFlowVImageToVideoPipeline

    def check(self) -> None:
        from starflow_v.data.video_io import read_image

        for path in self.files.values():
            read_image(path)

    def size(self, pipe: GeneratingPipeline) -> tuple[int, int]:
        from starflow_v.data.video_io import read_image

        height, width, _ = read_image(self.image).shape
        return pipe.nearest_size(height, width)

    def start(self, pipe: GeneratingPipeline, settings: Settings) -> Start:
        import numpy as np

        from starflow_v.data.video_io import fit, read_image

        assert isinstance(pipe, self.pipeline())
        image = read_image(self.image)
        last = None if self.last_image is None else read_image(self.last_image)
        size = settings.height, settings.width
        given = [fit(image, *size)]
        if last is not None:
            given += given * (settings.num_frames - 2) + [fit(last, *size)]
        return Start(
            stream=partial(pipe.stream, image, last_image=last),
            total_frames=settings.num_frames,
            reference=np.stack(given),
        )


@dataclass(frozen=True, kw_only=True)
class Extend(Task):
    """A clip, and what comes after it."""

    name = "extend"
    video: Path

    def pipeline(self) -> type[StarFlowVExtendPipeline]:
        from starflow_v import StarFlowVExtendPipeline

        return StarFlowVExtendPipeline

    def check(self) -> None:
        _check_clip(self.video)

    def size(self, pipe: GeneratingPipeline) -> tuple[int, int]:
        from starflow_v.data.video_io import probe_video

        info = probe_video(self.video)
        return pipe.nearest_size(info.height, info.width)

    def num_frames(self, pipe: GeneratingPipeline, wish: int | None, frame_rate: int) -> int:
        assert isinstance(pipe, self.pipeline())
        return pipe.whole_addition(wish)

    def start(self, pipe: GeneratingPipeline, settings: Settings) -> Start:
        from starflow_v.data.video_io import read_video

        assert isinstance(pipe, self.pipeline())
        size = settings.height, settings.width
        clip = read_video(self.video, fps=settings.frame_rate, size=size).frames
        return Start(
            stream=partial(pipe.stream, clip),
            total_frames=len(clip) + settings.num_frames,
            reference=clip,
            sound=self.video,
        )


@dataclass(frozen=True, kw_only=True)
class Edit(Task):
    """A clip that is edited, whole or where a mask is white."""

    name = "edit"
    edits = True
    video: Path
    mask: Path | None = None

    def pipeline(self) -> type[StarFlowVVideoToVideoPipeline]:
        from starflow_v import StarFlowVVideoToVideoPipeline

        return StarFlowVVideoToVideoPipeline

    def check(self) -> None:
        info = _check_clip(self.video)
        if self.mask is not None:
            from starflow_v.pipelines.masks import check_mask

            check_mask(self.mask, size=(info.height, info.width))

    def expected_frames(self, wish: int | None, frame_rate: float) -> int | None:
        from starflow_v.data.video_io import probe_video

        whole = ceil(probe_video(self.video).duration * frame_rate)
        if whole == 0:  # the file does not tell
            return wish
        return whole if wish is None else min(whole, wish)

    def size(self, pipe: GeneratingPipeline) -> tuple[int, int]:
        from starflow_v.data.video_io import probe_video

        info = probe_video(self.video)
        return pipe.nearest_size(info.height, info.width)

    def num_frames(self, pipe: GeneratingPipeline, wish: int | None, frame_rate: int) -> int:
        from starflow_v.data.video_io import iter_frames

        return sum(1 for _ in iter_frames(self.video, fps=frame_rate, num_frames=wish))

    def start(self, pipe: GeneratingPipeline, settings: Settings) -> Start:
        from starflow_v.data.video_io import read_video

        assert isinstance(pipe, self.pipeline())
        clip = read_video(
            self.video,
            fps=settings.frame_rate,
            size=(settings.height, settings.width),
            num_frames=settings.num_frames,
        ).frames
        return Start(
            stream=partial(
                pipe.stream,
                self.video,
                mask=self.mask,
                fidelity=settings.fidelity,
                candidates=settings.candidates,
                source_prompt=settings.source_prompt,
                strength=settings.strength,
            ),
            total_frames=len(clip),
            reference=clip if self.mask is None else self._hidden(clip, self.mask, settings),
            sound=self.video,
        )

    def _hidden(self, clip: Frames, mask: Path, settings: Settings) -> Frames:
        """What the model sees of a clip behind a mask."""
        from starflow_v.data.pixels import hide
        from starflow_v.data.video_io import probe_video
        from starflow_v.pipelines.masks import read_mask

        info = probe_video(self.video)
        white = read_mask(
            mask,
            size=(info.height, info.width),
            num_frames=len(clip),
            frame_rate=settings.frame_rate,
            height=settings.height,
            width=settings.width,
        )
        return hide(clip, white)


def _check_clip(path: Path) -> VideoInfo:
    """What a file tells of itself; refuses those that are no clips."""
    from starflow_v.data.video_io import is_still, probe_video

    if is_still(path):
        raise ValueError(f"{path} is a still picture; `starflow-v animate` sets it in motion")
    return probe_video(path)
