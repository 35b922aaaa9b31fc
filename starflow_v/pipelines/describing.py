"""What a clip shows, told by the flow itself: of the captions that it knows, the likeliest.

    caption = argmax log p(clip | caption) + log p(caption)

No network is trained for it: it is classification by likelihood (see `ScoringPipeline.rank`), word
by word, of three frames as stills and then, for how things move, of the clip. The captions are the
model's own, `caption_patterns` of its settings. *Edits* use it: a model that was trained with
`data.tell_sources` is told the instruction and what its clip shows, where it is sure of that: what
is told wrongly is made wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io.frames import Frames
from starflow_v.pipelines.media import Clips, clip_size, list_clips, read_clip
from starflow_v.pipelines.prompts import prompts_at
from starflow_v.pipelines.request import Request
from starflow_v.pipelines.telling import TellingPipeline
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.text import CaptionPatterns, Conditions, Likeliest, most_likely, tell_source

SURE = 0.99
"""How probable a description has to be for an edit to be told of it."""


class DescribingPipeline(TellingPipeline):
    """Tells what clips show."""

    @property
    def caption_patterns(self) -> CaptionPatterns | None:
        """The captions to choose from; `None`: the model has none."""
        known = self.config["caption_patterns"]
        return None if known is None else CaptionPatterns.from_config(known)

    @torch.no_grad()
    def describe(self, video: Clips) -> list[str]:
        """What each clip shows, as far as one clip of the model's training reaches.

        A clip is always described in the same words: the noise is not the caller's. Of a single
        frame it is told what stands there.

        Args:
            video: a file, frames, or several of them, as the editing pipeline takes them.

        Raises:
            ValueError: if the model has no captions to choose from.
        """
        if self.caption_patterns is None:
            raise ValueError(
                "this model has no caption_patterns in its settings, so there are no captions to "
                "choose from: rank captions of your own (StarFlowVPipeline.rank)"
            )
        found = []
        for clip in list_clips(video, name="video"):
            height, width = self.nearest_size(*clip_size(clip))
            rate, longest = self.defaults.frame_rate, self.defaults.num_frames
            found.append(
                read_clip(clip, frame_rate=rate, height=height, width=width, num_frames=longest)
            )
        return [it.text for it in self._describe(found, frame_rate=self.defaults.frame_rate)]

    def _describe(self, clips: Sequence[Frames], *, frame_rate: int) -> list[Likeliest]:
        """The same of frames (F, H, W, 3) at the size of a video; what is no whole latent frame
        at the end is left out."""
        patterns = self.caption_patterns
        assert patterns is not None, "checked before"
        found = [self._likeliest(patterns, clip, frame_rate) for clip in clips]
        self.maybe_free_model_hooks()
        return found

    def _likeliest(self, patterns: CaptionPatterns, clip: Frames, frame_rate: int) -> Likeliest:
        """Its first, middle and last frame say what stands there, the clip says how it moves."""
        height, width = clip.shape[1:3]
        factor = self.codec.temporal_factor
        whole = clip[: 1 + (len(clip) - 1) // factor * factor]
        frames = [clip[it : it + 1] for it in sorted({0, len(clip) // 2, len(clip) - 1})]
        stills, moving = (
            _Likelihood(
                self,
                clips,
                self.conditions_for(
                    height=height, width=width, num_frames=len(clips[0]), frame_rate=frame_rate
                ),
            )
            for clips in (frames, [whole])
        )
        return most_likely(patterns, stills, moving if len(whole) > 1 else None)

    def _told_of_sources(
        self, source_prompt: str | Sequence[str] | None, request: Request, mask: object
    ) -> str | Sequence[str] | None:
        """What edits are told of their clips; `None`: what `describe` is sure of, "": nothing."""
        silent = self.caption_patterns is None or mask is not None or request.prompt is None
        return "" if source_prompt is None and silent else source_prompt

    def _shown(
        self,
        source_prompt: str | Sequence[str] | None,
        clips: Sequence[Frames],
        *,
        frame_rate: int,
    ) -> list[str]:
        """What clips show, of each or one for all; `None`: as described, "" of a clip that the
        model is not sure of."""
        if source_prompt is None:
            found = self._describe(clips, frame_rate=frame_rate)
            return [it.text if it.probability > SURE else "" for it in found]
        return [source_prompt] if isinstance(source_prompt, str) else list(source_prompt)

    def _told(self, request: Request, shown: Sequence[str]) -> Request:
        """The request with instructions that tell what their clips show, where that is known."""
        if not any(shown):
            return request
        assert request.prompt is not None, "checked before"
        prompts = prompts_at(request.prompt, 0)
        many = shown if len(shown) > 1 else [*shown] * len(prompts)
        pairs = zip(prompts, many, strict=True)
        return replace(request, prompt=[tell_source(*it) if it[1] else it[0] for it in pairs])


class _Likelihood:
    """log p(clips | caption) of each of several captions, under the same noise.

    The shallow blocks are told nothing: what they make of the clips serves all captions.
    """

    def __init__(
        self, pipe: DescribingPipeline, clips: Sequence[Frames], conditions: Conditions
    ) -> None:
        self._pipe, self._conditions = pipe, conditions
        clean = pipe.codec.encode(to_frames(clips).to(pipe._execution_device))
        count, frames, channels, rows, columns = clean.shape
        children = seed_children(Generator().manual_seed(0), count)
        shape = (channels, rows, columns)
        eps = noise_frames(children, shape, frames=frames, device=clean.device)
        noisy = pipe.noised(clean, torch.cat(list(eps), dim=1))
        self._grid = pipe.flow.grid(noisy)
        self._tokens = pipe.flow.forward_shallow(noisy)

    def __call__(self, captions: Sequence[str]) -> list[float]:
        text, _ = self._pipe.encode_prompt(
            list(captions), do_classifier_free_guidance=False, conditions=self._conditions
        )
        count = len(self._tokens)
        tokens = self._tokens.repeat(len(captions), 1, 1, 1)
        texts = text.repeat_interleave(count, dim=0).to(tokens.device)
        log_probs = self._pipe.flow.deep.log_prob(tokens, texts, self._grid)
        totals: list[float] = log_probs.view(len(captions), count).sum(1).tolist()
        return totals
