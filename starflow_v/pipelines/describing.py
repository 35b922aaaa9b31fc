"""What a clip shows, told by the flow itself: of the captions that it knows, the likeliest.

    caption = argmax log p(clip | caption) + log p(caption)

No network is trained for it: it is classification by likelihood (see `ScoringPipeline.rank`), word
by word, of the first frame and then, for how things move, of the clip. The captions are the model's
own, `caption_patterns` of its settings. *Edits* use it: a model that was trained with
`data.tell_sources` is told the instruction and what its clip shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io.frames import Frames
from starflow_v.pipelines.media import Clips, clip_size, list_clips, read_clip
from starflow_v.pipelines.prompts import prompts_at
from starflow_v.pipelines.request import Request
from starflow_v.pipelines.telling import TellingPipeline
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.text import CaptionPatterns, most_likely, tell_source

DRAWS = 2
"""Of the added noise, over which the likelihood of a caption is averaged."""


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
        return self._describe(found, frame_rate=self.defaults.frame_rate)

    def _describe(self, clips: Sequence[Frames], *, frame_rate: int) -> list[str]:
        """The same of frames (F, H, W, 3) at the size of a video; what is no whole latent frame
        at the end is left out."""
        patterns, factor = self.caption_patterns, self.codec.temporal_factor
        assert patterns is not None, "checked before"
        found = []
        for clip in clips:
            whole = 1 + (len(clip) - 1) // factor * factor
            still = _Likelihood(self, clip[:1], frame_rate)
            moving = _Likelihood(self, clip[:whole], frame_rate) if whole > 1 else None
            found.append(most_likely(patterns, still, moving))
        self.maybe_free_model_hooks()
        return found

    def _told_of_sources(
        self, source_prompt: str | Sequence[str] | None, request: Request, mask: object
    ) -> str | Sequence[str] | None:
        """What edits are told of their clips; `None`: what `describe` says, "": nothing.

        Raises:
            ValueError: if the model was not trained to be told.
        """
        if source_prompt and self.config["caption_patterns"] is None:
            raise ValueError(
                f"a source prompt was given, {source_prompt!r}, but this model was not trained to "
                "be told what a clip shows (data.tell_sources): tell it in the prompt, or leave it "
                "out"
            )
        silent = self.caption_patterns is None or mask is not None or request.prompt is None
        return "" if source_prompt is None and silent else source_prompt

    def _told(
        self,
        request: Request,
        source_prompt: str | Sequence[str] | None,
        clips: Sequence[Frames],
        *,
        frame_rate: int,
    ) -> Request:
        """The request with instructions that tell what their clips show; `None`: as described."""
        if source_prompt is None:
            source_prompt = self._describe(clips, frame_rate=frame_rate)
        assert request.prompt is not None, "checked before"
        prompts = prompts_at(request.prompt, 0)
        shown = [source_prompt] if isinstance(source_prompt, str) else list(source_prompt)
        if len(shown) == 1:
            shown *= len(prompts)
        pairs = zip(prompts, shown, strict=True)
        return replace(request, prompt=[tell_source(*it) if it[1] else it[0] for it in pairs])


class _Likelihood:
    """log p(clip | caption) of each of several captions, under the same draws of the noise."""

    def __init__(self, pipe: DescribingPipeline, clip: Frames, frame_rate: int) -> None:
        self._pipe = pipe
        clean = pipe.codec.encode(to_frames([clip]).to(pipe._execution_device))
        frames, channels, rows, columns = clean.shape[1:]
        eps = noise_frames(
            seed_children(torch.Generator().manual_seed(0), DRAWS),
            (channels, rows, columns),
            frames=frames,
            device=clean.device,
        )
        self._noisy = pipe.noised(clean, torch.cat(list(eps), dim=1))
        height, width = clip.shape[1:3]
        self._conditions = pipe.conditions_for(
            height=height, width=width, num_frames=len(clip), frame_rate=frame_rate
        )

    def __call__(self, captions: Sequence[str]) -> list[float]:
        text, _ = self._pipe.encode_prompt(
            list(captions), do_classifier_free_guidance=False, conditions=self._conditions
        )
        clips = self._noisy.repeat(len(captions), 1, 1, 1, 1)
        texts = text.repeat_interleave(DRAWS, dim=0).to(clips.device)
        log_probs = self._pipe.flow.log_prob(clips, texts)
        means: list[float] = log_probs.view(len(captions), DRAWS).mean(1).tolist()
        return means
