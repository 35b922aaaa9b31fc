"""Text to video by causal flow matching: the conventions of `StarFlowVPipeline`, another network.

pipe = StarFlowVFlowMatchingPipeline.from_pretrained(folder)
pipe(prompt, num_inference_steps=10)       # Euler(10) for each frame
pipe.integrator = Adaptive()               # or any other integrator
"""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, AutoencoderKLWan
from torch import nn

from starflow_v.baselines.causal_velocity import CausalVelocityModel
from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Euler, Integrator
from starflow_v.baselines.stage import NothingToDo, VelocityStage
from starflow_v.pipelines.known import Known, nothing_known
from starflow_v.pipelines.request import Plan, Request
from starflow_v.pipelines.run import Run
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text import Tokenizer
from starflow_v.vae import PatchCodec, PixelCodec


class StarFlowVFlowMatchingPipeline(StarFlowVPipeline):
    """Text to video by flow matching, frame after frame.

    It is called and streamed as `StarFlowVPipeline` is, with `num_inference_steps` instead of a
    `solver`. What its output calls `deep` is what solving the frames' ODEs took, the evaluations
    that put clean frames into the cache included.

    Args:
        flow: the velocity network.
        denoiser: none; flow matching makes clean latents.
        vae: the codec.
        text_encoder: an encoder of transformers, or a `LabelEncoder`.
        tokenizer: its tokenizer; `None` beside a `LabelEncoder`.
        num_inference_steps: Euler steps a frame, unless a call says otherwise.
        noise_std: 0, see `denoiser`.
        temporal_scale: factor of the latent frames after the first.
        frame_rate: frames per second of the training videos.
        num_frames: pixel frames of a clip, 1 + 4k.
        height: pixels.
        width: pixels.
        guidance_scale: w of `VelocityGuidance`; 0 is the conditional model itself.
        text_length: tokens of text.
        conditions: what captions tell beside the prompt, as in `StarFlowVPipeline`.
        tasks: what the model was trained for.
        window_frames: latent frames that the network was trained with; longer videos restart.
        window_overlap: latent frames carried over a restart.
        decoder_cleans: False, as there is no noise.
        edit_guidance_scale: none; flow matching edits nothing.
        untold_guidance: 1.
        edit_fidelity: 0.
        caption_patterns: none.
    """

    def __init__(
        self,
        flow: CausalVelocityModel,
        denoiser: None,
        vae: AutoencoderKLWan | AutoencoderKL | PatchCodec | PixelCodec,
        text_encoder: nn.Module,
        tokenizer: Tokenizer | None,
        num_inference_steps: int = 50,
        noise_std: float = 0.0,
        temporal_scale: float = 1.0,
        frame_rate: int = 16,
        num_frames: int = 81,
        height: int = 480,
        width: int = 848,
        guidance_scale: float = 1.0,
        text_length: int = 256,
        conditions: list[str] | None = None,
        tasks: list[str] | None = None,
        window_frames: int = 21,
        window_overlap: int = 16,
        decoder_cleans: bool = False,
        edit_guidance_scale: float | None = None,
        untold_guidance: float = 1.0,
        edit_fidelity: float = 0.0,
        caption_patterns: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            flow,
            denoiser,
            vae,
            text_encoder,
            tokenizer,
            noise_std=noise_std,
            temporal_scale=temporal_scale,
            frame_rate=frame_rate,
            num_frames=num_frames,
            height=height,
            width=width,
            guidance_scale=guidance_scale,
            text_length=text_length,
            conditions=conditions,
            tasks=tasks,
            window_frames=window_frames,
            window_overlap=window_overlap,
            decoder_cleans=decoder_cleans,
            edit_guidance_scale=edit_guidance_scale,
            untold_guidance=untold_guidance,
            edit_fidelity=edit_fidelity,
            caption_patterns=caption_patterns,
        )
        self.register_to_config(num_inference_steps=num_inference_steps)
        self.integrator: Integrator = Euler(num_inference_steps)
        """What solves each frame's ODE where a call does not give `num_inference_steps`."""

    def _plan(self, request: Request) -> Plan:
        if request.solver is not None:
            raise ValueError(
                f"{type(request.solver).__name__} inverts a flow, and this model follows an ODE: "
                "give num_inference_steps, or set pipe.integrator to Euler(steps) or Adaptive()"
            )
        if request.guidance is not None:
            raise ValueError(
                f"{type(request.guidance).__name__} guides a flow's parameters, and this model "
                "makes velocities: give guidance_scale"
            )
        if request.temperature != 1:
            raise ValueError(
                f"temperature={request.temperature:g} is for the noise of a flow; flow matching "
                "begins with noise as it was trained: leave it out"
            )
        request.refuse_retold("a video by flow matching")
        return super()._plan(request)

    def _prepare(self, plan: Plan, known: Known | None) -> Run:
        """One stage makes clean latents; the others have nothing to do."""
        assert known is None, "text to video alone"
        texts = self._texts(plan, plan.task)
        assert texts.text is not None
        videos, frames = texts.text.shape[0], plan.latent_frames
        shape, device = self._latent_shape(plan.height, plan.width), self._execution_device
        guidance = VelocityGuidance(plan.guidance.weight)
        self._guidance_scale, self._num_timesteps = guidance.weight, frames
        self._interrupt = False
        steps = plan.request.num_inference_steps
        return Run(
            noise=self._noise(plan, frames, videos=videos),
            deep=VelocityStage(
                self.flow,
                texts,
                frames=frames,
                integrator=self.integrator if steps is None else Euler(steps),
                guidance=guidance,
                window=plan.window,
                restart=self._restart_texts(plan),
            ),
            shallow=NothingToDo(),
            denoise=NothingToDo(),
            text=texts.text,
            null_text=texts.null_text,
            frames=frames,
            shown=nothing_known(shape, device).for_videos(videos).shown,
            hidden=0,
        )


StarFlowVFlowMatchingPipeline.__module__ = "starflow_v"
