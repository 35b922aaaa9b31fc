"""Editing by an instruction, chunk by chunk; `video_to_video` says what a chunk is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io.frames import Frames
from starflow_v.flow.guidance import DensityGuidance, EachVideo, Guidance
from starflow_v.flow.texts import Texts
from starflow_v.pipelines.chunks import Chunk, ChunkedRun, cut
from starflow_v.pipelines.describing import DescribingPipeline
from starflow_v.pipelines.editing import Source, faithful_noise
from starflow_v.pipelines.generation import GeneratingPipeline
from starflow_v.pipelines.known import Known
from starflow_v.pipelines.request import Plan
from starflow_v.pipelines.run import Run


class InstructedPipeline(DescribingPipeline, GeneratingPipeline):
    """From a plan and a source to the run of an instructed edit."""

    def _edit(self, plan: Plan, source: Source) -> ChunkedRun:
        """By the instruction, chunk by chunk, without a mask."""
        told = self._told_plan(plan, source, start=0)
        texts = self._texts(told, plan.task)
        assert texts.text is not None
        self._announce(plan, plan.latent_frames)
        videos, length = texts.text.shape[0], source.length
        chunks = cut(plan.latent_frames, length=length, overlap=source.overlap)
        copies = 2 if source.fidelity else 1
        places = sum(length + chunk.known + copies * chunk.made for chunk in chunks)
        noise = self._noise(plan, places, videos=videos)
        null = self._null_text(plan) if source.fidelity else None

        def begin(chunk: Chunk, known: Tensor) -> Run:
            whole = self._encode_part(source, chunk.start, videos)
            prefix = torch.cat((whole, known), dim=1)
            known_frames = prefix.shape[1]
            here = list(islice(noise, known_frames + chunk.made))
            if null is not None:
                unedited = torch.cat((whole, whole[:, : chunk.known]), dim=1)
                before = self._noised(unedited, iter(here))
                own = self._noised(whole[:, chunk.known :][:, : chunk.made], noise)
                assert before is not None and own is not None
                share = source.fidelity
                here[known_frames:] = faithful_noise(
                    self.flow, before, own, null, here[known_frames:], share
                )
            part = Known(prefix=prefix, shown=known[:, :0])
            now, read = told, texts
            if source.told is None and chunk.start > 0:
                now = self._told_plan(plan, source, start=chunk.start)
                read = self._texts(now, plan.task)
            return self._run(replace(now, latent_frames=chunk.made), part, read, iter(here))

        def carry(_: Chunk, clean: Tensor, following: Chunk) -> Tensor:
            frames = 1 + self.codec.temporal_factor * (following.known - 1)
            return self.codec.encode(self.codec.decode(clean)[:, -frames:])

        return ChunkedRun(
            chunks=chunks,
            begin=begin,
            carry=carry,
            text=texts.text,
            null_text=texts.null_text,
            shown=source.for_videos(videos).shown,
            hidden=source.hidden,
            kept=None,
        )

    def _told_plan(self, plan: Plan, source: Source, *, start: int) -> Plan:
        """Of a chunk, by its first latent frame: its instructions tell what the clips show there,
        and those that do not have less guidance."""
        parts = self._parts(source, start)
        shown = self._shown(source.told, parts, frame_rate=plan.frame_rate)
        guidance = _guidance(plan, shown, untold=source.untold)
        return replace(plan, request=self._told(plan.request, shown), guidance=guidance)

    def _null_text(self, plan: Plan) -> Texts:
        """What the model is told where it is told nothing."""
        guided = plan if plan.guidance.active else replace(plan, guidance=DensityGuidance(1.0))
        return Texts(self._texts(guided, plan.task).null_text, None)

    def _encode_part(self, source: Source, start: int, videos: int) -> Tensor:
        """Latents (B, S, c, h, w) of the source from a latent frame on, as if it began there.

        A clip shorter than that stands still at its end, so that the target is where it was in
        training.
        """
        parts = self._parts(source, start)
        still = 1 + self.codec.temporal_factor * (source.length - 1) - len(parts[0])
        parts = [np.concatenate([part, *[part[-1:]] * still]) for part in parts]
        return self._encode_clips(parts, videos)

    def _parts(self, source: Source, start: int) -> list[Frames]:
        """The clips from a latent frame on, as far as a chunk reaches."""
        factor = self.codec.temporal_factor
        first, wanted = factor * start, 1 + factor * (source.length - 1)
        return [clip[first : first + wanted] for clip in source.clips]

    def _encode_clips(self, clips: Sequence[Frames], videos: int) -> Tensor:
        latents = self.codec.encode(to_frames(clips).to(self._execution_device))
        return latents.repeat_interleave(videos // len(clips), dim=0)


def _guidance(plan: Plan, shown: Sequence[str], *, untold: float) -> Guidance:
    """That of the plan, a share of it for videos that are told nothing of their clip; a rule that
    was given stands."""
    if plan.request.guidance is not None:
        return plan.guidance
    weights = [plan.guidance.weight * (1.0 if it else untold) for it in shown]
    if len(set(weights)) == 1:
        return DensityGuidance(weights[0])
    copies = plan.request.num_videos_per_prompt
    return EachVideo([DensityGuidance(it) for it in weights for _ in range(copies)])
