"""The attributes of a scene that have names: what captions tell and what the checker reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starflow_v.data.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """One object and the background, by name; None for what is not told, not seen or not there."""

    color: str | None = None
    shape: str | None = None
    size: str | None = None
    motion: str | None = None
    background: str | None = None
    pattern: str | None = None
    outlined: bool | None = None

    @staticmethod
    def of(scene: Scene) -> tuple[Attributes, ...]:
        """One entry an object, the main object first; for an empty scene one with no object."""
        empty = Attributes(background=scene.background.color, pattern=scene.background.pattern)
        return tuple(
            replace(
                empty,
                color=thing.color,
                shape=thing.shape,
                size=thing.size,
                motion=thing.motion,
                outlined=thing.outlined,
            )
            for thing in scene.objects
        ) or (empty,)
