"""Video to video, in two ways: by an instruction, or by forgetting a part of the clip's noise.

*By an instruction* the clip is the prefix, and the target is generated after it. The model was
trained on both joined along time: S latent frames of a source, then S of its target, under captions
that begin with "(v2v)". Source and target were encoded apart, so at the first place of each there
is an image-like latent frame (one pixel frame, at its own scale), and at the others frames of four.
The denoiser was trained on the same 2S frames: it sees the noisy source as context.

A longer clip goes in chunks of S frames, each just like those of the training. The source's part is
encoded anew from its own first pixel frame. So are the c target frames that are known already: the
last 1 + 4(c - 1) pixel frames that were made are encoded, which gives an image-like frame first.
Latent frames that were merely carried over would have another kind at that place. The new frames
stand on the same grid of four, and the decoder takes them as the going on of those before.

What a mask hides is made one latent frame at a time, see `pipelines.filling`.

The target's noise may be the source's own in part, its *fidelity*, see `pipelines.forgetting`: so
what the instruction does not name stays nearer to what it was.

*By inversion* there is no prefix: the clip is mapped to its noise, see `pipelines.forgetting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from starflow_v.data.pixels import hide
from starflow_v.flow.encoding import noise_of
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.editing import (
    Source,
    check_candidates,
    check_source_prompt,
    check_ways,
)
from starflow_v.pipelines.filling import CANDIDATES, FillingPipeline
from starflow_v.pipelines.forgetting import CorrectedStage, mix, remembered
from starflow_v.pipelines.generation import AnyCallback
from starflow_v.pipelines.known import Kept, Known
from starflow_v.pipelines.masks import Mask, read_mask
from starflow_v.pipelines.media import Clips, clip_size, list_clips, read_clips
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.prompts import Prompts
from starflow_v.pipelines.request import Plan, Request, given
from starflow_v.pipelines.run import AnyRun, Run
from starflow_v.sampling.overlap import Stages

OVERLAP = 2
"""Target latents that a chunk knows from the one before: two tell where things move."""


class StarFlowVVideoToVideoPipeline(FillingPipeline):
    """Clips that are edited.

    Its parts and settings are those of `StarFlowVPipeline`: `from_pretrained` reads the same
    folders, and `from_pipe` makes one of a pipeline that is there.
    """

    @torch.no_grad()
    def __call__(
        self,
        video: Clips,
        prompt: Prompts | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        fidelity: float | None = None,
        source_prompt: str | Sequence[str] | None = None,
        mask: Mask | None = None,
        candidates: int | None = None,
        num_videos_per_prompt: int = 1,
        generator: Generator | Sequence[Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: AnyCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        frame_rate: int | None = None,
        solver: Solver | None = None,
        window: Window | None = None,
        guidance: Guidance | None = None,
        temperature: float = 1.0,
    ) -> StarFlowVPipelineOutput | tuple[object]:
        """Edit clips. The videos are as long as they are.

        Arguments that are not named here are those of `StarFlowVPipeline`.

        Args:
            video: a file, which is read at `frame_rate`; frames as a list of pictures, an array
                (F,H,W,3) or a tensor (F,3,H,W) of that rate; or several clips of one length.
            prompt: the instruction; with `strength`, what the video shows.
            height: pixels; `None` with no width either: the size nearest to the clip's that the
                model was trained with. Frames are resized to cover it, and cropped.
            width: pixels.
            num_frames: at most so many of the clip's frames; `None`: all.
            strength: `None` edits by the instruction. A number from 0 to 1 goes by inversion
                instead, without a prefix: 0 gives the clip back as the codec has it, 1 forgets it.
            fidelity: by instruction, how much of its noise the target has from the clip, from 0
                (any target of the instruction) to 1 (one that is near to the clip); `None`: as the
                model's settings have it. A mask takes none: its hole has no noise of its own.
            source_prompt: by instruction, what the clip shows, one for all clips or one each, of a
                model that was trained to be told; `None`: what `describe` says where it is sure,
                and nothing with a mask, which hides a part of it; "": nothing.
            mask: white where something is to be made, black where the clip stays as it is, to the
                pixel (of "latent", which has none, as the model made it). A picture, or a clip as
                long as the video; of the size of the video as it is given. One for all clips.
            candidates: through a mask, how often each latent frame is drawn, see
                `pipelines.filling`: of more draws the best goes better with what is known, and each
                takes its time; `None`: 4.
            latents: the noise, (B, c, N, h, w), as it is used: by instruction, for each chunk that
                of the source, of the known target frames, then z, and with a fidelity what is added
                to the source in the target's place; through a mask, for each latent frame that of
                the source, of the target frames before it, then z of each candidate; by inversion,
                what is added to the clip's T frames, then T fresh ones.
            window: by instruction, it holds a source and as much of the target, 2S latent frames,
                and its overlap is c; `None`: as trained. By inversion: as in `StarFlowVPipeline`.
        """
        plan, source = self._begin(
            Request.of(locals()), video, strength, fidelity, mask, source_prompt, candidates
        )
        return self._call(
            plan,
            source,
            return_dict=return_dict,
            callback=callback_on_step_end,
            callback_tensors=callback_on_step_end_tensor_inputs,
        )

    def stream(
        self,
        video: Clips,
        prompt: Prompts | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        fidelity: float | None = None,
        source_prompt: str | Sequence[str] | None = None,
        mask: Mask | None = None,
        candidates: int | None = None,
        num_videos_per_prompt: int = 1,
        generator: Generator | Sequence[Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        max_sequence_length: int | None = None,
        frame_rate: int | None = None,
        solver: Solver | None = None,
        window: Window | None = None,
        guidance: Guidance | None = None,
        temperature: float = 1.0,
        stages: Stages | None = None,
    ) -> Iterator[Any]:
        """Hand out frames as soon as they exist: 1, then 4 at a time.

        The arguments and the frames are those of a call.
        """
        plan, source = self._begin(
            Request.of(locals()), video, strength, fidelity, mask, source_prompt, candidates
        )
        return self._stream(plan, source)

    def _begin(
        self,
        request: Request,
        video: Clips,
        strength: float | None,
        fidelity: float | None,
        mask: Mask | None,
        source_prompt: str | Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> tuple[Plan, Source]:
        """Read the clips and the mask, and settle the size by the first clip."""
        request.refuse_retold("an edited clip")
        check_ways(strength, fidelity, mask, request.temperature)
        check_candidates(candidates, mask)
        if strength is None:
            self._need_task("v2v", "edit by an instruction; strength= edits by inversion")
            weight, faithful = self.defaults.of_edits(masked=mask is not None)
            fidelity = given(fidelity, faithful)
            if request.guidance is None:
                request = replace(request, guidance_scale=given(request.guidance_scale, weight))
        clips = list_clips(video, name="video")
        size = clip_size(clips[0])
        request = self._sized(request.for_givens(len(clips), "clips"), size)
        told = self.caption_patterns is not None
        check_source_prompt(source_prompt, request, strength, mask, told=told)
        rate = given(request.frame_rate, self.defaults.frame_rate)
        height = given(request.height, self.defaults.height)
        width = given(request.width, self.defaults.width)
        self._latent_shape(height, width)
        frames, copies = read_clips(
            clips,
            frame_rate=rate,
            height=height,
            width=width,
            factor=self.codec.temporal_factor,
            num_frames=request.num_frames,
        )
        kept = None
        if mask is not None:
            made = read_mask(
                mask,
                size=size,
                num_frames=len(frames[0]) - copies,
                frame_rate=rate,
                height=height,
                width=width,
            )
            kept = Kept(clips=frames, made=np.concatenate([made[:1]] * copies + [made]))
            frames = [hide(clip, kept.made) for clip in frames]
        plan = self._plan(replace(request, num_frames=len(frames[0])))
        length, overlap = self._chunk_of(request.window)
        empty = torch.zeros(len(clips), 0, *self._latent_shape(height, width))
        source = Source(
            prefix=empty,
            shown=empty.to(self._execution_device),
            hidden=copies,
            kept=kept,
            clips=frames,
            strength=strength,
            fidelity=fidelity or 0.0,
            told=self._told_of_sources(source_prompt, request, mask),
            untold=self.defaults.untold_guidance,
            length=length,
            overlap=overlap,
            candidates=given(candidates, CANDIDATES),
        )
        return replace(plan, task="v2v", window=None) if strength is None else plan, source

    def _chunk_of(self, window: Window | None) -> tuple[int, int]:
        """S and c of a window of 2S latent frames; as trained, S is a whole clip."""
        if window is None:
            length = int(self.config["window_frames"])
            return length, min(OVERLAP, length - 1)
        length = window.frames // 2
        if length < 2 or window.overlap < 1:
            raise ValueError(
                f"a window of {window.frames} frames with an overlap of {window.overlap} was "
                "given: an edit needs at least 4 (2 of the source, 2 of the target) and an overlap"
            )
        return length, min(window.overlap, length - 1)

    def _begin_run(self, plan: Plan, known: Known | None) -> AnyRun:
        assert isinstance(known, Source), "what _begin returns"
        if known.strength is None:
            return self._begin_edit(plan, known)
        return self._invert(plan, known, known.strength)

    def _invert(self, plan: Plan, source: Source, strength: float) -> Run:
        """By inversion: the noise under the same text, guidance and restarts as it will be used."""
        texts = self._texts(plan, plan.task)
        assert texts.text is not None
        videos, frames = texts.text.shape[0], plan.latent_frames
        self._announce(plan, frames)
        noise = self._noise(plan, 2 * frames, videos=videos)
        clean = self._encode_clips(source.clips, videos)
        noisy = self._noised(clean, noise)
        assert noisy is not None
        z = torch.zeros_like(noisy)
        if strength < 1:
            z = noise_of(
                self.flow,
                noisy,
                texts,
                guidance=plan.guidance,
                window=plan.window,
                restart=self._restart_texts(plan),
            )
        nothing = source.for_videos(videos)
        run = self._run(plan, nothing, texts, mix(z, noise, strength))
        if strength == 1:
            return run
        share = remembered(strength)
        corrected = CorrectedStage(denoise=run.denoise, clean=clean, noisy=noisy, share=share)
        return replace(run, denoise=corrected)


StarFlowVVideoToVideoPipeline.__module__ = "starflow_v"
