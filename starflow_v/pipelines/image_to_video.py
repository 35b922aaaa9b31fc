"""Image to video: the image is noised, mapped through the shallow blocks and committed as the deep
block's first frame; the video goes on from it. Where the model was trained for it, the last frame
can be given too: it is encoded alone and committed in front of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from starflow_v.data.pixels import to_frames
from starflow_v.data.video_io import fit
from starflow_v.data.video_io.frames import Frame
from starflow_v.flow.guidance import Guidance
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.generation import AnyCallback, GeneratingPipeline
from starflow_v.pipelines.known import Known
from starflow_v.pipelines.media import Pictures, read_pictures
from starflow_v.pipelines.output import StarFlowVPipelineOutput
from starflow_v.pipelines.prompts import Prompts
from starflow_v.pipelines.request import Plan, Request
from starflow_v.sampling.overlap import Stages


class StarFlowVImageToVideoPipeline(GeneratingPipeline):
    """An image set in motion. It is the first frame of the video.

    Its parts and settings are those of `StarFlowVPipeline`: `from_pretrained` reads the same
    folders, and `from_pipe` makes one of a pipeline that is there.

    Examples:
        >>> import numpy as np
        >>> from starflow_v import StarFlowVImageToVideoPipeline
        >>> from starflow_v.assets import embedded_model
        >>> pipe = StarFlowVImageToVideoPipeline.from_pretrained(embedded_model())
        >>> image = np.full((90, 160, 3), 128, np.uint8)
        >>> pipe(image, "a red circle moves right on a gray background").frames.shape
        (1, 17, 64, 64, 3)
    """

    @torch.no_grad()
    def __call__(
        self,
        image: Pictures,
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
        last_image: Pictures | None = None,
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
        """Make videos that begin with an image.

        Arguments that are not named here are those of `StarFlowVPipeline`.

        Args:
            image: a file, a PIL image, an array (H,W,3) or a tensor (3,H,W), or several: one for
                each prompt. One image serves all prompts, one prompt all images.
            height: pixels; `None` with no width either: the size nearest to the image's that the
                model was trained with. The image is resized to cover it, and cropped.
            width: pixels.
            last_image: what the video ends with, in as many as there are images, or one for all;
                for models that were trained with the task "last", and one window of frames.
            latents: the noise, (B, c, T, h, w), that of the given frames included: the last, if
                there is one, then the first.
            callback_on_step_end: the image's own latent frame is the first of `latents`.
        """
        plan, known = self._begin(Request.of(locals()), image, last_image)
        return self._call(
            plan,
            known,
            return_dict=return_dict,
            callback=callback_on_step_end,
            callback_tensors=callback_on_step_end_tensor_inputs,
        )

    def stream(
        self,
        image: Pictures,
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
        last_image: Pictures | None = None,
        output_type: str = "np",
        max_sequence_length: int | None = None,
        frame_rate: int | None = None,
        solver: Solver | None = None,
        window: Window | None = None,
        guidance: Guidance | None = None,
        temperature: float = 1.0,
        stages: Stages | None = None,
    ) -> Iterator[Any]:
        """Hand out frames as soon as they exist: the image at once, then 4 at a time.

        The arguments and the frames are those of a call.
        """
        return self._stream(*self._begin(Request.of(locals()), image, last_image))

    @torch.no_grad()
    def _begin(
        self, request: Request, image: Pictures, last_image: Pictures | None
    ) -> tuple[Plan, Known]:
        """Read the images, settle the size by the first of them, and encode them."""
        pictures = read_pictures(image, name="image")
        request = request.for_givens(len(pictures), "images")
        plan = self._plan(self._sized(request, pictures[0].shape[:2]))
        first = self._encode_pictures(pictures, plan)
        if last_image is None:
            return plan, Known(prefix=first, shown=first)
        plan = self._plan_last(plan)
        last_pictures = read_pictures(last_image, name="last_image")
        if len(last_pictures) not in (1, len(pictures)):
            raise ValueError(
                f"{len(last_pictures)} last images were given for {len(pictures)} images: give as "
                "many, or one for all"
            )
        last = self._encode_pictures(last_pictures, plan).expand_as(first)
        return plan, Known(prefix=torch.cat((last, first), dim=1), shown=first)

    def _plan_last(self, plan: Plan) -> Plan:
        """The plan of a video whose last frame is given: it must fit one window, in two frames."""
        self._need_task("last", "end with a given image: leave last_image out")
        longest = self.config["window_frames"]
        if not 1 < plan.latent_frames <= longest:
            pixels = 1 + (longest - 1) * self.codec.temporal_factor
            raise ValueError(
                f"a video between two images has 2 to {pixels} frames with this model, got "
                f"num_frames={plan.num_frames}"
            )
        return replace(plan, task="last", window=None)

    def _encode_pictures(self, pictures: Sequence[Frame], plan: Plan) -> Tensor:
        """Latents (K, 1, c, h, w)."""
        clips = [fit(picture, plan.height, plan.width)[None] for picture in pictures]
        return self.codec.encode(to_frames(clips).to(self._execution_device))


StarFlowVImageToVideoPipeline.__module__ = "starflow_v"
