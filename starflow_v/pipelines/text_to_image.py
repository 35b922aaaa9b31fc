"""Text, or the name of a class, to image: a video of one frame (STARFlow, TARFlow)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from torch import Generator, Tensor

from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Cost, Solver
from starflow_v.pipelines.generation import AnyCallback
from starflow_v.pipelines.inpainting import InpaintingPipeline
from starflow_v.pipelines.masks import Mask
from starflow_v.pipelines.media import Picture
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.request import Request
from starflow_v.text import LabelEncoder

Labels = int | str | Sequence[int | str]


@dataclass
class StarFlowPipelineOutput(BaseOutput):
    """What an image pipeline returns.

    Args:
        images: "pil": a list; "np": (B, H, W, 3) float32 in [0, 1]; "pt": (B, 3, H, W); "latent":
            normalised clean latents (B, c, h, w).
        deep: what solving the deep block took.
        shallow: what solving the shallow blocks took.
    """

    images: Any
    deep: Cost | None = None
    shallow: Cost | None = None


@dataclass
class StarFlowInpaintingOutput(BaseOutput):
    """What inpainting returns.

    Args:
        images: as `StarFlowPipelineOutput`.
        log_prob: log p of each noisy image, known part included, (B,), in nats.
        accepted: share of each chain's proposals that were accepted, (B,): near 0.57 if the step
            could be adapted.
    """

    images: Any
    log_prob: Tensor = None  # type: ignore[assignment]
    accepted: Tensor = None  # type: ignore[assignment]


class StarFlowPipeline(InpaintingPipeline):
    """Text to image, or class to image. It reads every folder that `StarFlowVPipeline` reads."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        labels: Labels | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: Generator | Sequence[Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: AnyCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        solver: Solver | None = None,
        guidance: Guidance | None = None,
        temperature: float = 1.0,
    ) -> StarFlowPipelineOutput | tuple[object]:
        """Make images.

        Args:
            prompt: one or several prompts.
            negative_prompt: what the unconditional branch is told instead of nothing.
            labels: classes instead of prompts, by number or name; "" is any class. A model without
                classes needs neither.
            height: pixels; `None`: as trained.
            width: pixels; `None`: as trained.
            num_inference_steps: unused: a flow has no steps. Accepted for compatibility.
            guidance_scale: the paper's w; 0 turns guidance off.
            num_images_per_prompt: images of each prompt.
            generator: a seeded generator, or one for each image.
            latents: the noise z to start from instead, (B, c, h, w).
            prompt_embeds: embeddings (B, L, E) instead of prompts.
            negative_prompt_embeds: embeddings instead of negative prompts.
            output_type: "pil", "np", "pt" or "latent", see `StarFlowPipelineOutput`.
            return_dict: `False` returns a tuple.
            callback_on_step_end: as in `StarFlowVPipeline`; there is one step.
            callback_on_step_end_tensor_inputs: which tensors the callback is given.
            max_sequence_length: L, tokens of text; `None`: as trained.
            solver: how the flow is inverted; `None`: see `solver_for`.
            guidance: a rule instead of `DensityGuidance(guidance_scale)`, such as `LinearGuidance`.
            temperature: what the noise is multiplied by, see `StarFlowVPipeline`.
        """
        if prompt is None and prompt_embeds is None:
            prompt = self._prompts_of(labels)
        elif labels is not None:
            raise ValueError("give either labels or a prompt, not both")
        request = Request(
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            num_frames=1,
            guidance_scale=guidance_scale,
            num_videos_per_prompt=num_images_per_prompt,
            generator=generator,
            latents=None if latents is None else latents.unsqueeze(2),
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            output_type=output_type,
            frame_rate=None,
            solver=solver,
            window=None,
            max_sequence_length=max_sequence_length,
            num_inference_steps=num_inference_steps,
            guidance=guidance,
            temperature=temperature,
        )
        made = self._call(
            self._plan(request),
            return_dict=True,
            callback=callback_on_step_end,
            callback_tensors=callback_on_step_end_tensor_inputs,
        )
        assert isinstance(made, StarFlowVPipelineOutput)
        images = _first_frames(made.frames, output_type)
        if not return_dict:
            return (images,)
        return StarFlowPipelineOutput(images=images, deep=made.deep, shallow=made.shallow)

    def inpaint(
        self,
        image: Picture,
        mask_image: Mask,
        prompt: str | None = None,
        labels: int | str | None = None,
        *,
        steps: int = 300,
        step_size: float = 1e-4,
        num_images: int = 1,
        generator: Generator | None = None,
        output_type: str = "pil",
    ) -> StarFlowInpaintingOutput:
        """Fill in a part of an image, without any training for it.

        The hidden part is sampled from the flow's density given the known one by a Markov chain
        that begins with an ordinary sample. There is no guidance: it would change the density.

        Args:
            image: a file, a PIL image, an array (H,W,3) or a tensor (3,H,W).
            mask_image: the same, or an array (H,W); white where the image is to be made anew.
            prompt: what the image shows.
            labels: its class instead.
            steps: proposals of the chain. Too few leave the hidden part as it began.
            step_size: of the first proposals; it is adapted.
            num_images: how many, by chains of their own.
            generator: a seeded generator.
            output_type: "pil", "np" or "pt", see `StarFlowPipelineOutput`.
        """
        if output_type == "latent":
            raise ValueError('output_type="latent" is not for inpainting: pixels are put back')
        if prompt is None:
            prompts = self._prompts_of(labels)
            if len(prompts) > 1:
                raise ValueError(f"{len(prompts)} labels for one image: give one, or a prompt")
            (prompt,) = prompts
        elif labels is not None:
            raise ValueError("give either labels or a prompt, not both")
        frames, chain = self._inpaint(
            image,
            mask_image,
            prompt,
            steps=steps,
            step_size=step_size,
            images=num_images,
            generator=generator,
            output_type=output_type,
        )
        return StarFlowInpaintingOutput(
            images=_first_frames(frames, output_type),
            log_prob=chain.log_prob,
            accepted=chain.accepted,
        )

    def _prompts_of(self, labels: Labels | None) -> list[str]:
        """Classes as prompts: their names."""
        encoder = self.text_encoder
        if not isinstance(encoder, LabelEncoder):
            raise ValueError(
                "this model reads text, not classes: give a prompt"
                if labels is not None
                else "give a prompt, or prompt_embeds"
            )
        if labels is None and encoder.labels:
            raise ValueError(
                f'give labels, of {", ".join(encoder.labels)}; labels="" is any of them'
            )
        given = "" if labels is None else labels
        several = [given] if isinstance(given, int | str | np.integer) else list(given)
        names = [*encoder.labels, ""]
        return [names[number] for number in encoder.numbers(several).tolist()]


StarFlowPipeline.__module__ = "starflow_v"


def _first_frames(frames: Any, output_type: str) -> Any:
    """Videos of one frame, as a pipeline returns them -> images."""
    if output_type == "pil":
        return [video[0] for video in frames]
    return frames[:, :, 0] if output_type == "latent" else frames[:, 0]
