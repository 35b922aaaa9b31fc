"""Text to video: noise z -> deep, guided by the caption -> shallow -> denoise -> decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.generation import AnyCallback
from starflow_v.pipelines.inversion import InvertiblePipeline
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.prompts import Prompts
from starflow_v.pipelines.request import Request
from starflow_v.sampling.overlap import Stages


class StarFlowVPipeline(InvertiblePipeline):
    """Text to video (and, with `num_frames=1`, text to image).

    Examples:
        >>> from starflow_v import StarFlowVPipeline
        >>> from starflow_v.assets import embedded_model
        >>> pipe = StarFlowVPipeline.from_pretrained(embedded_model())
        >>> pipe("a red circle moves right on a blue background").frames.shape
        (1, 17, 64, 64, 3)
    """

    @torch.no_grad()
    def __call__(
        self,
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
        """Make videos from prompts.

        Args:
            prompt: one or several prompts; {0: prompt, 40: prompt, ...} is told from those pixel
                frames on (from the nearest ones where a latent frame begins: 0, 1, 5, 9, ...).
            negative_prompt: what the unconditional branch is told instead of nothing.
            height: pixels; `None`: as trained.
            width: pixels; `None`: as trained.
            num_frames: pixel frames, 1 + 4k (others are rounded, with a warning).
            num_inference_steps: unused: a flow has no steps (flow matching has). Accepted for
                compatibility.
            guidance_scale: the paper's w; 0 turns guidance off.
            num_videos_per_prompt: videos of each prompt.
            generator: a seeded generator, or one for each video.
            latents: the noise z to start from instead, (B, c, T, h, w).
            prompt_embeds: embeddings (B, L, E) instead of prompts.
            negative_prompt_embeds: embeddings instead of negative prompts.
            output_type: "np", "pt", "pil" or "latent", see `StarFlowVPipelineOutput`.
            return_dict: `False` returns a tuple.
            callback_on_step_end: called as (pipeline, t, t, tensors) after latent frame t is
                cleaned, with all cleaned frames so far as `latents` (B, c, t+1, h, w); the
                `latents` it returns are decoded in their place.
            callback_on_step_end_tensor_inputs: which tensors the callback is given.
            max_sequence_length: L, tokens of text; `None`: as trained.
            frame_rate: frames per second told to the model; `None`: as trained.
            solver: how the flow is inverted; `None`: see `solver_for`.
            window: when the deep block restarts; `None`: when the model's own window is full.
            guidance: a rule instead of `DensityGuidance(guidance_scale)`, such as `LinearGuidance`.
            temperature: what the noise of the frames that are made is multiplied by: 1 as the model
                was trained, less for what it is surer of (Glow, arXiv 1807.03039).
        """
        return self._call(
            self._plan(Request.of(locals())),
            return_dict=return_dict,
            callback=callback_on_step_end,
            callback_tensors=callback_on_step_end_tensor_inputs,
        )

    def stream(
        self,
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
        """Make videos and hand out their frames as soon as they exist: 1, then 4 at a time.

        The arguments and the frames are those of a call. Closed early, it leaves nothing behind.

        Args:
            stages: how the stages follow each other: `SideBySide()` or `InSeries()`, with the same
                frames; `None`: side by side, unless the models have hooks (offloading).

        Yields:
            "np": (B, f, H, W, 3), "pt": (B, f, 3, H, W), "pil": lists, "latent": (B, c, 1, h, w).
        """
        return self._stream(self._plan(Request.of(locals())))


StarFlowVPipeline.__module__ = "starflow_v"
