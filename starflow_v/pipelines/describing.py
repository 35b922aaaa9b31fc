"""What a picture shows, told by the flow itself: of the captions that it knows, the likeliest.

    caption = argmax log p(picture | caption) + log p(caption)

No network is trained for it: it is classification by likelihood (see `ScoringPipeline.rank`), word
by word. The captions are the model's own, `caption_patterns` of its settings. *Edits* use it: a
model that was trained with `tell_sources` is told the instruction and what its clip shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io.frames import Frames
from starflow_v.pipelines.media import Clips, list_clips, read_clip
from starflow_v.pipelines.prompts import prompts_at
from starflow_v.pipelines.request import Request
from starflow_v.pipelines.telling import TellingPipeline
from starflow_v.sampling.noise import noise_frames, seed_children
from starflow_v.text import CaptionPatterns, most_likely, tell_source

DRAWS = 2
"""Of the added noise, over which the likelihood of a caption is averaged."""


class DescribingPipeline(TellingPipeline):
    """Tells what pictures show."""

    @property
    def caption_patterns(self) -> CaptionPatterns | None:
        """The captions to choose from; `None`: the model has none."""
        known = self.config["caption_patterns"]
        return None if known is None else CaptionPatterns.from_config(known)

    @torch.no_grad()
    def describe(self, video: Clips) -> list[str]:
        """What the first frame of each clip shows.

        The same clip is always described in the same words: the noise is not the caller's.

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
        size = {"height": self.defaults.height, "width": self.defaults.width}
        rate = self.defaults.frame_rate
        clips = list_clips(video, name="video")
        return self._describe(
            [read_clip(clip, frame_rate=rate, num_frames=1, **size) for clip in clips]
        )

    def _describe(self, clips: Sequence[Frames]) -> list[str]:
        """The same of frames (F, H, W, 3) at the size of a video."""
        patterns = self.caption_patterns
        assert patterns is not None, "checked before"
        found = [most_likely(patterns, _Likelihood(self, clip[:1])) for clip in clips]
        self.maybe_free_model_hooks()
        return found

    def _told(
        self,
        request: Request,
        source_prompt: str | Sequence[str] | None,
        clips: Sequence[Frames],
        *,
        masked: bool,
    ) -> Request:
        """The request with instructions that tell what their clips show."""
        if source_prompt is None and not masked and self.caption_patterns is not None:
            source_prompt = self._describe(clips) if request.prompt is not None else None
        if source_prompt is None:
            return request
        assert request.prompt is not None, "checked before"
        prompts = prompts_at(request.prompt, 0)
        shown = [source_prompt] if isinstance(source_prompt, str) else list(source_prompt)
        if len(shown) not in (1, len(prompts)):
            raise ValueError(
                f"{len(shown)} source prompts and {len(prompts)} prompts were given: give one, or "
                "one each"
            )
        pairs = zip(prompts, shown * (len(prompts) // len(shown)), strict=True)
        return replace(request, prompt=[tell_source(*it) if it[1] else it[0] for it in pairs])

    def _check_source_prompt(
        self,
        source_prompt: str | Sequence[str] | None,
        request: Request,
        strength: float | None,
        *,
        masked: bool,
    ) -> None:
        """Refuse one where it would not be heard."""
        if not source_prompt:
            return
        start = f"a source prompt was given, {source_prompt!r}, "
        if strength is not None:
            raise ValueError(
                f"{start}and a strength: an edit by inversion has no instruction; its prompt tells "
                "what the video is to show"
            )
        if masked:
            raise ValueError(f"{start}and a mask: tell in the prompt what is to be seen")
        if request.prompt is None:
            raise ValueError(f"{start}and prompt_embeds: tell it in what is embedded, or neither")
        if self.config["caption_patterns"] is None:
            raise ValueError(
                f"{start}but this model was not trained to be told what a clip shows "
                "(data.tell_sources): tell it in the prompt, or leave it out"
            )


class _Likelihood:
    """log p(still | caption) of each of several captions, under the same draws of the noise."""

    def __init__(self, pipe: DescribingPipeline, still: Frames) -> None:
        self._pipe = pipe
        clean = pipe.codec.encode(to_frames([still]).to(pipe._execution_device))
        channels, rows, columns = clean.shape[2:]
        children = seed_children(torch.Generator().manual_seed(0), DRAWS)
        eps = noise_frames(children, (channels, rows, columns), frames=1, device=clean.device)
        self._noisy = pipe.noised(clean, next(eps))
        height, width = still.shape[1:3]
        self._conditions = pipe.conditions_for(height=height, width=width, num_frames=1)

    def __call__(self, captions: Sequence[str]) -> list[float]:
        text, _ = self._pipe.encode_prompt(
            list(captions), do_classifier_free_guidance=False, conditions=self._conditions
        )
        stills = self._noisy.repeat(len(captions), 1, 1, 1, 1)
        texts = text.repeat_interleave(DRAWS, dim=0).to(stills.device)
        log_probs = self._pipe.flow.log_prob(stills, texts)
        means: list[float] = log_probs.view(len(captions), DRAWS).mean(1).tolist()
        return means
