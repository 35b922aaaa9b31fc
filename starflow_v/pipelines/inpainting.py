"""Inpainting of an image without training: what is hidden is sampled from the flow's density."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io import fit
from starflow_v.pipelines.inversion import InvertiblePipeline
from starflow_v.pipelines.known import Kept, put_back
from starflow_v.pipelines.likelihood import plain_request
from starflow_v.pipelines.masks import Mask, read_mask
from starflow_v.pipelines.media import Picture, read_pictures
from starflow_v.sampling.inpainting import Chain, inpaint


class InpaintingPipeline(InvertiblePipeline):
    """Fills in what a mask hides, see `starflow_v.sampling.inpainting`."""

    @torch.no_grad()
    def _inpaint(
        self,
        image: Picture,
        mask_image: Mask,
        prompt: str | None,
        *,
        steps: int,
        step_size: float,
        images: int,
        generator: Generator | None,
        output_type: str,
    ) -> tuple[Any, Chain]:
        """Videos of one frame, and the chains that made them. Arguments as `inpaint`.

        A latent is hidden if the mask hides any of its pixels; those beside it have still been
        encoded with the whole picture. Known latents are as noisy as the flow models them; the
        known pixels themselves are put back in the end.
        """
        (picture,) = read_pictures(image, name="image")
        size = picture.shape[:2]
        height, width = self.nearest_size(*size)
        (made,) = read_mask(
            mask_image, size=size, num_frames=1, frame_rate=1, height=height, width=width
        )
        request = plain_request(
            None if prompt is None else [prompt] * images,
            None,
            height=height,
            width=width,
            frame_rate=None,
            window=None,
            num_frames=1,
            output_type=output_type,
        )
        plan = self._plan(replace(request, generator=generator))
        text = self._texts(plan, None).text
        clip = fit(picture, height, width)[None]
        known = self.codec.encode(to_frames([clip]).to(self._execution_device))
        noise = torch.cat(list(self._noise(plan, 2, videos=images)), dim=1).to(known)
        noisy = self.noised(known, noise[:, :1])
        hidden = self._hidden_latents(made).to(known.device)
        start = torch.where(hidden, self.flow.inverse(noise[:, 1:], text), noisy)
        chain = inpaint(
            lambda x: self.flow.log_prob(x, text),
            start,
            hidden,
            steps=steps,
            step_size=step_size,
            generator=generator,
        )
        clean = torch.cat(list(self.cleaner.denoise_frames(iter([chain.x]), text)), dim=1)
        frames = put_back(Kept(clips=[clip], made=made[None]), self.codec.decode(clean))
        self.maybe_free_model_hooks()
        return self._to_output(frames, output_type), chain

    def _hidden_latents(self, made: np.ndarray) -> Tensor:
        """Hidden pixels (H, W) -> hidden latents (1, 1, 1, h, w)."""
        pixels = torch.tensor(made).float()[None, None]
        return F.max_pool2d(pixels, self.codec.spatial_factor)[None] > 0
