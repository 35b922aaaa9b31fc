"""Exact inversion: a video as noise, and back.

    encode    x = clean + sigma · eps  ->  z, with sigma · eps recorded
    decode    z  ->  x  ->  x - sigma · eps: the clean latents again, up to rounding

Both restart the deep block at the same frames, so this holds for videos of any length.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from starflow_v.flow.solver import SequentialSolver, Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.encoding import Encoding
from starflow_v.pipelines.likelihood import ScoringPipeline, plain_request, single_request
from starflow_v.pipelines.media import Clip
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.request import given
from starflow_v.sampling.stages import gather


class InvertiblePipeline(ScoringPipeline):
    """What only a flow can do, for the pipelines around one: score, rank, encode and decode."""

    @torch.no_grad()
    def encode(
        self,
        video: Clip,
        prompt: str | None = None,
        *,
        generator: Generator | None = None,
        height: int | None = None,
        width: int | None = None,
        frame_rate: int | None = None,
        prompt_embeds: Tensor | None = None,
        window: Window | None = None,
    ) -> Encoding:
        """The noise that the model makes this video of; `decode` gives it back.

        Arguments as `score`; the generator draws the noise that is added first.
        """
        request = single_request(
            prompt,
            prompt_embeds,
            height=height,
            width=width,
            frame_rate=frame_rate,
            window=window,
        )
        plan, clean = self._read_given(video, request)
        (noisy,) = self._noisy(plan, clean, draws=1, generator=generator)
        z = self._to_noise(plan, noisy, *self._both_texts(plan)).z
        self.maybe_free_model_hooks()
        return Encoding(
            noise=z.transpose(1, 2),
            added=(noisy - clean).transpose(1, 2),
            height=plan.height,
            width=plan.width,
            frame_rate=plan.frame_rate,
            prompt=prompt,
            window=plan.window,
        )

    @torch.no_grad()
    def decode(
        self,
        encoding: Encoding | Tensor,
        prompt: str | None = None,
        *,
        denoise: bool = False,
        output_type: str = "np",
        solver: Solver | None = None,
        frame_rate: int | None = None,
        prompt_embeds: Tensor | None = None,
        window: Window | None = None,
    ) -> StarFlowVPipelineOutput:
        """The video of a noise, without guidance.

        Args:
            encoding: of `encode` or `interpolate`, or a noise z, (B, c, T, h, w).
            prompt: what the video shows; `None`: as it was encoded.
            denoise: `False`: what was added is taken away again, so that the clean latents of an
                encoded video come back (of a bare noise, the noisy ones); `True`: the denoiser
                cleans them, as in every video that is made.
            output_type: "np", "pt", "pil" or "latent", see `StarFlowVPipelineOutput`.
            solver: how the flow is inverted; `None`: `SequentialSolver()`, which is exact.
            frame_rate: frames per second told to the model; `None`: as encoded, or as trained.
            prompt_embeds: embeddings (B, L, E) instead of a prompt.
            window: as it was encoded, or the model's own, if it is `None`.
        """
        self._need_flow()
        known = encoding if isinstance(encoding, Encoding) else self._bare(encoding)
        count, _, frames = known.noise.shape[:3]
        told = known.prompt if prompt is None and prompt_embeds is None else prompt
        if told is None and prompt_embeds is None:
            raise ValueError(
                "the noise has no prompt of its own (it is bare, or was encoded by embeddings, or "
                "lies between two prompts): say what the video shows, as in decode(noise, prompt)"
            )
        request = plain_request(
            None if told is None else [told] * count,
            None if prompt_embeds is None else prompt_embeds.expand(count, -1, -1),
            height=known.height,
            width=known.width,
            frame_rate=given(frame_rate, known.frame_rate),
            window=window or known.window,
            num_frames=1 + (frames - 1) * self.codec.temporal_factor,
            latents=known.noise,
            output_type=output_type,
            solver=solver or SequentialSolver(),
        )
        run = self._prepare(self._plan(request), None)
        if denoise:
            clean = torch.cat(list(run.stage_by_stage(lambda: None)), dim=1)
        else:
            clean = torch.cat(
                list(run.shallow(gather(run.deep(run.noise), at_most=run.most))), dim=1
            )
            if known.added is not None:
                clean = clean - known.added.to(clean).transpose(1, 2)
        if output_type == "latent":
            shown: object = clean.transpose(1, 2)
        else:
            shown = self._to_output(self.codec.decode(clean), output_type)
        self.maybe_free_model_hooks()
        return StarFlowVPipelineOutput(frames=shown, deep=run.deep.cost, shallow=run.shallow.cost)

    def _bare(self, noise: Tensor) -> Encoding:
        """A noise of which nothing else is known."""
        if noise.ndim != 5:
            raise ValueError(
                f"a noise of shape {tuple(noise.shape)} was given: expected (videos, channels, "
                "latent frames, height, width)"
            )
        factor = self.codec.spatial_factor
        return Encoding(
            noise=noise,
            added=None,
            height=noise.shape[3] * factor,
            width=noise.shape[4] * factor,
            frame_rate=self.defaults.frame_rate,
            prompt=None,
        )
