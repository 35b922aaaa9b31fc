"""Filling what a mask hides: each latent frame is drawn several times, and the best draw goes on.

A flow draws whole frames, also what is known of them, and a draw of the hole that does not go with
the rest (half a star, and another thing where its other half should be) agrees badly with what is
known beside the hole. So of `candidates` draws of a latent frame that one is kept which agrees
best; what is known is put back into its pixels, and encoded again they are what the next frame goes
on from. This is a particle filter (Gordon et al. 1993) of one survivor, with the known pixels for
its observation: the model is the one that draws whole videos, and nothing is trained for it.

Each latent frame is a run of its own, that of a chunk of one frame, see `chunks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from starflow_v.flow.guidance import EachVideo
from starflow_v.flow.texts import Texts
from starflow_v.pipelines.chunks import Chunk, ChunkedRun, cut
from starflow_v.pipelines.editing import Source
from starflow_v.pipelines.instructed import InstructedPipeline
from starflow_v.pipelines.known import Kept, Known, put_back
from starflow_v.pipelines.request import Plan
from starflow_v.pipelines.run import AnyRun, Run, Stage
from starflow_v.sampling.stages import Frames
from starflow_v.vae import Codec

CANDIDATES = 4
"""Draws of each latent frame."""


class FillingPipeline(InstructedPipeline):
    """From a plan and a source, of which a mask hides a part, to its run."""

    def _begin_edit(self, plan: Plan, source: Source) -> AnyRun:
        """By the instruction, all of the clip or through its mask."""
        if source.kept is None:
            return self._edit(plan, source)
        return self._fill(plan, source, source.kept)

    def _fill(self, plan: Plan, source: Source, kept: Kept) -> ChunkedRun:
        """Latent frame by latent frame."""
        texts = self._texts(plan, plan.task)
        assert texts.text is not None
        self._announce(plan, plan.latent_frames)
        videos, draws = texts.text.shape[0], source.candidates
        chunks = _one_by_one(cut(plan.latent_frames, length=source.length, overlap=source.overlap))
        places = sum(source.length + chunk.known + draws for chunk in chunks)
        noise = self._noise(plan, places, videos=videos)
        filling = Filling(codec=self.codec, kept=kept, candidates=draws)
        several, told = _of_one_frame(plan, draws), _repeated(texts, draws)

        def begin(chunk: Chunk, known: Tensor) -> Run:
            prefix = torch.cat((self._encode_part(source, chunk.start, videos), known), dim=1)
            before = [z.repeat_interleave(draws, 0) for z in islice(noise, prefix.shape[1])]
            fresh = torch.stack(list(islice(noise, draws)), dim=1).flatten(0, 1)
            part = Known(prefix=prefix, shown=prefix[:, :0]).for_videos(videos * draws)
            run = self._run(several, part, told, iter([*before, fresh]))
            choose = partial(filling.choose, chunk, known)
            return replace(run, denoise=ChoosingStage(denoise=run.denoise, choose=choose))

        return ChunkedRun(
            chunks=chunks,
            begin=begin,
            carry=lambda _, __, following: filling.remembered(following),
            text=texts.text,
            null_text=texts.null_text,
            shown=source.for_videos(videos).shown,
            hidden=source.hidden,
            kept=kept,
        )


@dataclass(kw_only=True)
class Filling:
    """What has been made so far, in pixels, and which draw of the next latent frame goes on.

    Args:
        codec: between pixels and latents.
        kept: what is known.
        candidates: draws of each latent frame.
    """

    codec: Codec
    kept: Kept
    candidates: int
    _pixels: Tensor | None = field(default=None, init=False)

    def choose(self, chunk: Chunk, known: Tensor, drawn: Tensor) -> Tensor:
        """The draw that agrees best with the known pixels beside the hole.

        Args:
            chunk: of the one latent frame that is made.
            known: clean latents (B, K, c, h, w) of the frames that the draws go on from.
            drawn: (B·N, 1, c, h, w), those of one video after each other.

        Returns:
            (B, 1, c, h, w).
        """
        before = known.repeat_interleave(self.candidates, dim=0)
        frames = self.codec.decode(torch.cat((before, drawn), dim=1))
        done = 0 if self._pixels is None else self._pixels.shape[1]
        new = frames[:, done - self.codec.temporal_factor * chunk.start :]
        whole = put_back(self.kept, new, first=done)
        wrong = self._disagreement(new, whole, first=done).unflatten(0, (-1, self.candidates))
        rows = self.candidates * torch.arange(len(wrong), device=wrong.device) + wrong.argmin(1)
        shown = whole[rows]
        self._pixels = shown if self._pixels is None else torch.cat((self._pixels, shown), dim=1)
        return drawn[rows]

    def remembered(self, chunk: Chunk) -> Tensor:
        """Clean latents of the known frames of a chunk: what has been shown, encoded."""
        assert self._pixels is not None, "a chunk before it was chosen"
        frames = 1 + self.codec.temporal_factor * (chunk.known - 1)
        return self.codec.encode(self._pixels[:, -frames:])

    def _disagreement(self, drawn: Tensor, whole: Tensor, *, first: int) -> Tensor:
        """(B·N,): squared differences of frames (B·N, f, 3, H, W) from what is known, near the
        hole: at most half a latent's width from it."""
        made = torch.from_numpy(self.kept.made[first : first + drawn.shape[1]]).to(drawn.device)
        reach = max(1, self.codec.spatial_factor // 2)
        near = F.max_pool2d(made.float(), 2 * reach + 1, stride=1, padding=reach)
        return ((drawn - whole).square() * near[:, None]).sum((1, 2, 3, 4))


@dataclass(frozen=True, kw_only=True)
class ChoosingStage:
    """A denoiser of candidates, of which the best are handed on.

    Args:
        denoise: the denoiser's stage.
        choose: clean frames of all candidates -> those of each video's best.
    """

    denoise: Stage
    choose: Callable[[Tensor], Tensor]

    def __call__(self, frames: Frames) -> Frames:
        for drawn in self.denoise(frames):
            yield self.choose(drawn)


def _one_by_one(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The same frames, each a chunk of its own that knows those before it."""
    return [
        Chunk(start=chunk.start, known=chunk.known + place, made=1)
        for chunk in chunks
        for place in range(chunk.made)
    ]


def _of_one_frame(plan: Plan, draws: int) -> Plan:
    """The plan of one latent frame of several draws of each video."""
    guidance = plan.guidance
    if isinstance(guidance, EachVideo):
        guidance = EachVideo([rule for rule in guidance.rules for _ in range(draws)])
    return replace(plan, latent_frames=1, guidance=guidance)


def _repeated(texts: Texts, draws: int) -> Texts:
    """What each draw of each video is told."""
    text, null = (
        None if it is None else it.repeat_interleave(draws, dim=0)
        for it in (texts.text, texts.null_text)
    )
    return Texts(text, null)
