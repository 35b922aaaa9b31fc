"""Extension: a given clip goes on, and on.

The model was trained to go on with clips that lack their first latent frame, which is unlike all
others (one pixel frame, not four), under captions that begin with "(extend)". Here likewise: the
clip is encoded whole, its last latent frames are the prefix, and each restart of the window is one
more extension. All latents of the clip go to the decoder, so no seam is where it ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from starflow_v.data.pixels import to_frames
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import ContextWindow, Window
from starflow_v.pipelines.generation import AnyCallback, GeneratingPipeline
from starflow_v.pipelines.known import Known
from starflow_v.pipelines.media import Clips, clip_size, list_clips, read_clips
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.prompts import Prompts
from starflow_v.pipelines.request import Plan, Request, given
from starflow_v.sampling.overlap import Stages


class StarFlowVExtendPipeline(GeneratingPipeline):
    """Clips that go on. The frames are those of the clip (as the codec has them), then new ones.

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
        """Make videos that begin with a clip.

        Arguments that are not named here are those of `StarFlowVPipeline`.

        Args:
            video: a file, which is read at `frame_rate`; frames as a list of pictures, an array
                (F,H,W,3) or a tensor (F,3,H,W) of that rate; or several clips of one length.
            height: pixels; `None` with no width either: the size nearest to the clip's that the
                model was trained with. Frames are resized to cover it, and cropped.
            width: pixels.
            num_frames: pixel frames that are added, 4k (others are rounded, with a warning);
                `None`: as many as the model's own videos have after their first.
            latents: the noise, (B, c, P + T, h, w), that of the P frames of the prefix included.
            callback_on_step_end: the clip's own latent frames are the first of `latents`.
            window: when the deep block restarts; its overlap is also the number of the clip's
                latent frames that the video goes on from.
        """
        plan, known = self._begin(Request.of(locals()), video)
        return self._call(
            plan,
            known,
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
        """Hand out frames as soon as they exist: those of the clip at once, then 4 at a time.

        The arguments and the frames are those of a call.
        """
        return self._stream(*self._begin(Request.of(locals()), video))

    def whole_addition(self, num_frames: int | None) -> int:
        """How many pixel frames are added if so many are asked for: 4k, the next higher number."""
        wanted = given(num_frames, self.defaults.num_frames - 1)
        factor = self.codec.temporal_factor
        whole = max(1, -(-wanted // factor)) * factor
        if num_frames is not None and whole != wanted:
            warnings.warn(
                f"num_frames={wanted} is not {factor}k: {whole} frames will be added", stacklevel=3
            )
        return whole

    @torch.no_grad()
    def _begin(self, request: Request, video: Clips) -> tuple[Plan, Known]:
        """Read the clips, settle the size by the first of them, and encode them."""
        self._need_task("extend", "go on from a clip")
        clips = list_clips(video, name="video")
        request = request.for_givens(len(clips), "clips")
        added = self.whole_addition(request.num_frames)
        plan = self._plan(replace(self._sized(request, clip_size(clips[0])), num_frames=None))
        window = self._going_on(request.window)
        frames, copies = read_clips(
            clips,
            frame_rate=plan.frame_rate,
            height=plan.height,
            width=plan.width,
            factor=self.codec.temporal_factor,
        )
        latents = self.codec.encode(to_frames(frames).to(self._execution_device))
        total = frames[0].shape[0] + added
        plan = replace(
            plan,
            num_frames=total,
            latent_frames=self.codec.latent_frames(total),
            window=window,
            task="extend",
        )
        prefix = latents[:, 1:][:, -window.overlap :]
        return plan, Known(prefix=prefix, shown=latents, hidden=copies)

    def _going_on(self, window: Window | None) -> Window:
        """The window of frames that all go on from others."""
        if window is None:
            frames = self.config["window_frames"] - 1
            return ContextWindow(frames, min(self.config["window_overlap"], frames - 1))
        if window.overlap < 1:
            raise ValueError(
                "an extension goes on from at least one frame: give a window with an overlap"
            )
        return window


StarFlowVExtendPipeline.__module__ = "starflow_v"
