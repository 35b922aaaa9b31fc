"""Filling what a mask hides: each latent frame is drawn several times, and the best draw goes on.

A flow draws whole frames, the known part too. So a draw can be judged: one whose hole does not fit
(half a star, continued as a disc) mostly gets the known pixels beside the hole wrong as well. Of
`candidates` draws of a latent frame the one goes on that gets them least wrong; the known pixels
are put back, all is encoded again, and the next frame is drawn after it. This is a particle filter
(Gordon et al. 1993) of one survivor, with the known pixels for its observation: the model is the
one that draws whole videos, and nothing is trained for it.

Each latent frame is a run of its own, as a chunk of one new frame, see `chunks`; so the denoiser
cleans it without a look at the one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
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
        filling = Filling(codec=self.codec, kept=kept, candidates=draws, length=source.length)
        several, told = _of_one_frame(plan, draws), _repeated(texts, draws)

        @lru_cache(maxsize=1)
        def whole(start: int) -> Tensor:
            return self._encode_part(source, start, videos)

        def begin(chunk: Chunk, known: Tensor) -> Run:
            prefix = torch.cat((whole(chunk.start), known), dim=1)
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
    """The last pixels that were made, and which draw of the next latent frame goes on.

    These pixels are decoded after encoded ones; those of the video itself follow each other's
    latents, so in the hole they differ by what the codec loses.

    Args:
        codec: between pixels and latents.
        kept: what is known.
        candidates: draws of each latent frame.
        length: latent frames of a chunk: no more are remembered.
    """

    codec: Codec
    kept: Kept
    candidates: int
    length: int
    _pixels: Tensor | None = field(default=None, init=False)
    _done: int = field(default=0, init=False)

    def choose(self, chunk: Chunk, known: Tensor, drawn: Tensor) -> Tensor:
        """The draw that agrees best with the known pixels beside the hole.

        Args:
            chunk: of the one latent frame that is made.
            known: clean latents (B, K, c, h, w) of the frames that the draws go on from.
            drawn: (B·N, 1, c, h, w), those of one video after each other.

        Returns:
            (B, 1, c, h, w).
        """
        behind = self._done - self.codec.temporal_factor * chunk.start
        draws = drawn.unflatten(0, (-1, self.candidates)).unbind(1)
        new = [self.codec.decode(torch.cat((known, it), dim=1))[:, behind:] for it in draws]
        whole = torch.stack([put_back(self.kept, it, first=self._done) for it in new], dim=1)
        wrong = self._disagreement(torch.stack(new, dim=1), whole)
        videos, best = torch.arange(len(wrong), device=wrong.device), wrong.argmin(1)
        self._keep(whole[videos, best])
        return torch.stack(draws, dim=1)[videos, best]

    def remembered(self, chunk: Chunk) -> Tensor:
        """Clean latents of the known frames of a chunk: what is shown of them, encoded."""
        assert self._pixels is not None, "a chunk before it was chosen"
        return self.codec.encode(self._pixels[:, -self._frames(chunk.known) :])

    def _keep(self, shown: Tensor) -> None:
        """Pixel frames are done: no more is kept of them than a chunk can know."""
        self._done += shown.shape[1]
        before = shown[:, :0] if self._pixels is None else self._pixels
        self._pixels = torch.cat((before, shown), dim=1)[:, -self._frames(self.length) :]

    def _frames(self, latent_frames: int) -> int:
        """Pixel frames of a clip."""
        return 1 + self.codec.temporal_factor * (latent_frames - 1)

    def _disagreement(self, drawn: Tensor, whole: Tensor) -> Tensor:
        """(B, N): squared differences of frames (B, N, f, 3, H, W) from what is known, at most half
        a latent's width from the hole; in it they are 0, since it is whole as it was drawn."""
        made = self.kept.made[self._done : self._done + drawn.shape[2]]
        hole = torch.from_numpy(made).to(drawn.device, torch.float32)
        reach = max(1, self.codec.spatial_factor // 2)
        near = F.max_pool2d(hole, 2 * reach + 1, stride=1, padding=reach)
        return ((drawn - whole).square() * near[:, None]).sum((2, 3, 4, 5))


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
    text, null = texts.text, texts.null_text
    assert text is not None
    if null is not None:
        null = null.expand_as(text).repeat_interleave(draws, dim=0)
    return Texts(text.repeat_interleave(draws, dim=0), null)
