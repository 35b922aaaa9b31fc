"""Whether an instructed edit was carried out, and whether all that it does not name was kept."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from starflow_v.data.pixels import HIDDEN
from starflow_v.data.scenes import Attributes, Edit, Region
from starflow_v.evaluation.scene_checker import read_objects

COMPARED = frozenset(field.name for field in fields(Attributes)) - {"pattern"}
"""What edits change or keep. A background that became a little shaded is left to the eye."""


@dataclass(frozen=True)
class EditVerdict:
    """done: what the instruction asks for is seen; kept: everything else is as in the source."""

    done: bool
    kept: bool


def check_edit(frames: NDArray[np.uint8], edit: Edit) -> EditVerdict:
    """Compares a clip (F,H,W,3), uint8, with the scene that the edit leads to.

    A masked edit is done when the gray has gone and the whole scene is there. Blurred stripes read
    as a plain background.
    """
    seen = read_objects(frames)
    before, after = Attributes.of(edit.before), Attributes.of(edit.after)
    if edit.kind == "blur background":
        return EditVerdict(seen[0].pattern == "plain", _show(seen, after, COMPARED))
    if edit.region is not None:
        restored = _show(seen, after, COMPARED)
        return EditVerdict(restored and _is_filled(frames, edit, edit.region), restored)
    gone = {it.color for it in before} - {it.color for it in after}
    left = gone.isdisjoint(it.color for it in seen)
    if len(edit.before.objects) != len(edit.after.objects):
        new = [it for it in after if it not in before]
        stayed = [it for it in after if it in before]
        place = Attributes(background=after[0].background)
        return EditVerdict(
            left and _show(seen, new, COMPARED), _show(seen, [*stayed, place], COMPARED)
        )
    changed = frozenset(
        name
        for old, new in zip(before, after, strict=True)
        for name in COMPARED
        if getattr(old, name) != getattr(new, name)
    )
    return EditVerdict(left and _show(seen, after, changed), _show(seen, after, COMPARED - changed))


def _is_filled(frames: NDArray[np.uint8], edit: Edit, region: Region) -> bool:
    """Whether the gray that hid the region has gone; on a gray background nobody can tell."""
    mask = region.mask(height=frames.shape[1], width=frames.shape[2])
    still_gray = (np.abs(frames.astype(int) - HIDDEN) < 40).all(-1)[:, mask]
    return edit.after.background.color == "gray" or bool(still_gray.mean() < 0.3)


def _show(seen: tuple[Attributes, ...], told: Iterable[Attributes], names: frozenset[str]) -> bool:
    """Whether each object told is seen with the named attributes, as far as they are told.

    Its counterpart is the object of its colour, else the largest.
    """
    for it in told:
        counterpart = next((other for other in seen if other.color == it.color), seen[0])
        wanted = {name: getattr(it, name) for name in names}
        if any(v is not None and getattr(counterpart, name) != v for name, v in wanted.items()):
            return False
    return True
