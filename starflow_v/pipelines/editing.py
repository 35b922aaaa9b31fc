"""What an edit is made from, and of which noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from starflow_v.data.video_io.frames import Frames
from starflow_v.flow.encoding import noise_of
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.texts import Texts
from starflow_v.pipelines.forgetting import forgotten, mix
from starflow_v.pipelines.known import Known
from starflow_v.pipelines.masks import Mask
from starflow_v.pipelines.prompts import as_list
from starflow_v.pipelines.request import Request


@dataclass(frozen=True, kw_only=True)
class Source(Known):
    """Clips to be edited; no frame of the video itself is known.

    Args:
        clips: pixel frames (F, H, W, 3) of one length, gray where they are to be made.
        strength: how much of their noise is forgotten; `None`: they are edited by an instruction.
        fidelity: by an instruction, the share of their own noise in that of the target.
        told: by an instruction, what they show; `None`: what the model says of each chunk.
        untold: the share of guidance that clips have of which nothing is told.
        length: S, latent frames of a chunk.
        overlap: c, how many of them are known.
        candidates: through a mask, how often each latent frame is drawn.
    """

    clips: Sequence[Frames]
    strength: float | None
    fidelity: float
    told: str | Sequence[str] | None
    untold: float
    length: int
    overlap: int
    candidates: int


def faithful_noise(
    flow: StarFlowModel,
    prefix: Tensor,
    own: Tensor,
    null: Texts,
    fresh: Iterable[Tensor],
    fidelity: float,
) -> list[Tensor]:
    """Noise for the target of an edit, a share of it the source's own: M frames (B, 1, c, h, w).

    Args:
        flow: the flow.
        prefix: noisy latents of the source, and of its own frames where target frames are known,
            (B, P, c, h, w). (After target frames that are edited its own noise would undo the
            edit.)
        own: noisy latents of the source in the target's place, (B, M, c, h, w).
        null: what the model is told where it is told nothing.
        fresh: M frames of noise.
        fidelity: the share.
    """
    z = noise_of(flow, torch.cat((prefix, own), dim=1), null)[:, prefix.shape[1] :]
    return list(mix(z, iter(fresh), forgotten(fidelity)))


def check_ways(strength: object, fidelity: object, mask: Mask | None, temperature: float) -> None:
    """Refuse what is no share, and ways of editing that exclude each other.

    Raises:
        ValueError: says which.
    """
    _check_share("strength", strength, "the clip itself", "nothing of it")
    _check_share("fidelity", fidelity, "any target", "one near to the clip")
    if strength is None:
        if mask is not None and fidelity:
            raise ValueError(
                f"a mask and a fidelity of {fidelity} were given: what a mask hides has no noise "
                "of its own, so leave one of them out"
            )
        return
    if fidelity is not None:
        raise ValueError(
            "a strength and a fidelity were given: one is of edits by inversion, the other of "
            "edits by an instruction, so leave one of them out"
        )
    if mask is not None:
        raise ValueError(
            "a mask and a strength were given: a mask is filled by an instruction, so leave one of "
            "them out"
        )
    if temperature != 1:
        raise ValueError(
            f"a strength and a temperature of {temperature:g} were given: by inversion the noise "
            "is the clip's own, so leave one of them out"
        )


def check_candidates(candidates: object, mask: Mask | None) -> None:
    """Refuse what is no number of draws, and any without a mask.

    Raises:
        ValueError: says which.
    """
    if candidates is None:
        return
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise ValueError(f"candidates={candidates!r}: give a whole number from 1 on, or None")
    if mask is None:
        raise ValueError(
            f"candidates={candidates} and no mask were given: draws are chosen from where a mask "
            "hides a part of the clip, so give a mask, or leave them out"
        )


def check_source_prompt(
    source_prompt: str | Sequence[str] | None,
    request: Request,
    strength: float | None,
    mask: Mask | None,
    *,
    told: bool,
) -> None:
    """Refuse a source prompt that would not be heard, or is one too many.

    Args:
        source_prompt: what clips show.
        request: with the instructions.
        strength: of an edit by inversion.
        mask: of what is hidden.
        told: whether the model was trained to be told what clips show.

    Raises:
        ValueError: says why.
    """
    if not source_prompt:
        return
    start = f"a source prompt was given, {source_prompt!r}, "
    if strength is not None:
        raise ValueError(
            f"{start}and a strength: an edit by inversion has no instruction; its prompt tells "
            "what the video is to show"
        )
    if mask is not None:
        raise ValueError(f"{start}and a mask: tell in the prompt what is to be seen")
    if request.prompt is None:
        raise ValueError(f"{start}and prompt_embeds: tell it in what is embedded, or leave it out")
    if not told:
        raise ValueError(
            f"{start}but this model was not trained to be told what a clip shows "
            "(data.tell_sources): tell it in the prompt, or leave it out"
        )
    count = len(as_list(request.prompt))
    if not isinstance(source_prompt, str) and len(source_prompt) not in (1, count):
        raise ValueError(
            f"{len(source_prompt)} source prompts and {count} prompts were given: give one, or one "
            "each"
        )


def _check_share(name: str, share: object, none: str, whole: str) -> None:
    if share is None:
        return
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise ValueError(f"{name}={share!r}: give a number from 0 to 1, or None")
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={share}: give a number from 0 ({none}) to 1 ({whole})")
