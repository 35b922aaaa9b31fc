"""The endless data set: sample number i of a seed, whoever asks for it and in whatever order.

Nothing is stored between samples: (seed, index) determines everything. So workers share a stream by
sharing its indices, and a resumed run goes on at the next index.
"""

from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.buckets import OF_PAIRS, frames_of
from starflow_v.data.pixels import hide
from starflow_v.data.scenes.captions import sample_caption
from starflow_v.data.scenes.edits import EDITS, sample_edit
from starflow_v.data.scenes.rendering import render
from starflow_v.data.scenes.scene import Scene, SceneSettings, sample_scene

HELD_OUT_SHARE = 16


@dataclass(frozen=True, kw_only=True)
class TaskWeights:
    """How often each task appears, relative to the others."""

    video: float = 0.5
    """A clip from its caption."""
    image: float = 0.1
    """A still from its caption: one frame."""
    extend: float = 0.1
    """A clip that begins at any time of its scene."""
    last: float = 0.1
    """A clip from its caption and its last frame."""
    v2v: float = 0.2
    """A clip from another clip and an instruction."""
    v2v_start: float = 0.0
    """What such a pair begins with: the shortest clips that show motion."""
    v2v_image: float = 0.0
    """Its first frames alone."""

    def shares(self) -> dict[str, float]:
        """Task -> probability."""
        weights = {name: float(getattr(self, name)) for name in self.__dataclass_fields__}
        total = sum(weights.values())
        if min(weights.values()) < 0 or total <= 0:
            raise ValueError(f"task weights {weights}: none may be negative, one must be above 0")
        return {name: weight / total for name, weight in weights.items()}


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What the clips of a stream are like."""

    num_frames: int = 17
    start_frames: int = 5
    """Of "v2v_start": two latent frames."""
    height: int = 64
    width: int = 64
    fps: float = 8.0
    tasks: TaskWeights = field(default_factory=TaskWeights)
    edits: dict[str, float] = field(default_factory=lambda: dict.fromkeys(EDITS, 1.0))
    """Kind of edit -> relative weight; a kind that is left out never appears."""
    two_objects: float = 0.1
    """Probability of a second object."""
    gradient: float = 0.3
    """Probability of a gradient as background."""
    shapes: dict[str, float] = field(default_factory=dict)
    """Shape -> how often it is drawn, relative to the others; 1 for those that are left out."""

    @property
    def duration(self) -> float:
        """Seconds from the first frame of a clip to its last."""
        return max(self.num_frames - 1, 1) / self.fps

    @property
    def scenes(self) -> SceneSettings:
        """The scenes that suit clips of this length."""
        return SceneSettings(
            two_objects=self.two_objects,
            gradient=self.gradient,
            duration=self.duration,
            shapes=self.shapes,
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One example. Frames are uint8, (F,H,W,3)."""

    task: str
    """"video", "image", "extend", "last", "v2v", "v2v_start" or "v2v_image"."""
    caption: str
    """For pairs the instruction."""
    frames: NDArray[np.uint8]
    fps: float
    """0 for a still."""
    scene: Scene
    """What the frames show."""
    source: NDArray[np.uint8] | None = None
    """For those the clip to be edited, where masked already gray."""
    source_scene: Scene | None = None
    """What that clip shows, masks aside."""
    mask: NDArray[np.bool_] | None = None
    """(H,W), True where the source is hidden; None if nothing is."""
    edit: str | None = None
    """Kind of edit for those."""


def is_held_out(scene: Scene) -> bool:
    """Whether the main object's combination of attributes is kept from training: one of 16 is."""
    if not scene.objects:
        return False
    thing = scene.objects[0]
    name = f"{thing.color} {thing.shape} {thing.motion} {scene.background.color}"
    return crc32(name.encode()) % HELD_OUT_SHARE == 0


@dataclass(frozen=True)
class SceneStream:
    """Random access to endlessly many samples.

    `held_out=False` gives the training half of the world, True the combinations of colour, shape,
    motion and background that training never shows.
    """

    seed: int
    settings: StreamSettings = field(default_factory=StreamSettings)
    held_out: bool = False

    def sample(self, index: int) -> Sample:
        """The sample of this index, always the same."""
        rng = np.random.default_rng([self.seed, index])
        shares = self.settings.tasks.shares()
        task = str(rng.choice(list(shares), p=list(shares.values())))
        if task in OF_PAIRS:
            return self._edited(rng, task)
        return self._captioned(rng, task)

    def _captioned(self, rng: np.random.Generator, task: str) -> Sample:
        still, duration = task == "image", self.settings.duration
        scene = sample_scene(rng, self.settings.scenes)
        while is_held_out(scene) != self.held_out:
            scene = sample_scene(rng, self.settings.scenes)
        latest = {"image": duration, "extend": 2 * duration}.get(task, 0.0)
        start = float(rng.uniform(0, latest)) if latest else 0.0
        return Sample(
            task=task,
            caption=sample_caption(rng, scene, moving=not still),
            frames=self._render(scene, num_frames=1 if still else None, start=start),
            fps=0.0 if still else self.settings.fps,
            scene=scene,
        )

    def _edited(self, rng: np.random.Generator, task: str) -> Sample:
        weights = np.asarray(list(self.settings.edits.values()))
        kind = str(rng.choice(list(self.settings.edits), p=weights / weights.sum()))
        edit = sample_edit(rng, kind, self.settings.scenes)
        while is_held_out(edit.before) != self.held_out:
            edit = sample_edit(rng, kind, self.settings.scenes)
        clip, begun = self.settings.num_frames, self.settings.start_frames
        num_frames = frames_of(task, clip=clip, start=begun)
        source, mask = self._render(edit.before, num_frames=num_frames), None
        if edit.region is not None:
            mask = edit.region.mask(height=self.settings.height, width=self.settings.width)
            source = hide(source, mask)
        return Sample(
            task=task,
            caption=edit.instruction,
            frames=self._render(edit.after, num_frames=num_frames),
            fps=self.settings.fps,
            scene=edit.after,
            source=source,
            source_scene=edit.before,
            mask=mask,
            edit=kind,
        )

    def _render(
        self, scene: Scene, *, num_frames: int | None = None, start: float = 0.0
    ) -> NDArray[np.uint8]:
        return render(
            scene,
            num_frames=num_frames or self.settings.num_frames,
            height=self.settings.height,
            width=self.settings.width,
            fps=self.settings.fps,
            start=start,
        )
