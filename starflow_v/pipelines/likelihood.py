"""Likelihood: how well the model expects a given video, and which caption explains it best.

    x = clean + sigma · eps  ->  log p(x | text), for several draws of eps

A video longer than the model's window is scored in chunks, as it would be sampled: when the deep
block is full it starts afresh with the last frames (and, if the model was trained to go on, under
"(extend)"). So the score is that of the process that samples it, and its frames still add up.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from starflow_v.data.pixels import to_frames
from starflow_v.flow.likelihood import bits, token_log_prob
from starflow_v.flow.outputs import FlowOutput
from starflow_v.flow.solver import Solver
from starflow_v.flow.window import Window
from starflow_v.pipelines.describing import DescribingPipeline
from starflow_v.pipelines.generation import GeneratingPipeline
from starflow_v.pipelines.media import Clip, clip_size, list_clips, read_clip
from starflow_v.pipelines.request import Plan, Request, given
from starflow_v.pipelines.scores import Ranking, Score
from starflow_v.sampling.noise import noise_frames, seed_children


class ScoringPipeline(DescribingPipeline, GeneratingPipeline):
    """Scores videos that are there, and ranks captions of them."""

    @torch.no_grad()
    def score(
        self,
        video: Clip,
        prompt: str | None = None,
        *,
        draws: int = 4,
        generator: Generator | None = None,
        height: int | None = None,
        width: int | None = None,
        frame_rate: int | None = None,
        prompt_embeds: Tensor | None = None,
        window: Window | None = None,
    ) -> Score:
        """How well the model expects a video, in bits per latent dimension.

        Args:
            video: a file, which is read at `frame_rate`, or frames of that rate: a list of
                pictures, an array (F,H,W,3), a tensor (F,3,H,W). Frames after the last whole
                1 + 4k are left out, with a warning.
            prompt: what the video shows.
            draws: of the added noise, to average over.
            generator: a seeded generator; the same seed is the same noise for every video and
                caption.
            height: pixels; `None` with no width either: the size nearest to the video's that the
                model was trained with. The frames are resized to cover it, and cropped.
            width: pixels.
            frame_rate: frames per second; `None`: as trained.
            prompt_embeds: embeddings (1, L, E) instead of a prompt.
            window: when the deep block restarts; `None`: when the model's own window is full.
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
        (score,) = self._scores(plan, clean, draws=draws, generator=generator, batch_size=1)
        return score

    @torch.no_grad()
    def rank(
        self,
        video: Clip,
        prompts: Sequence[str],
        *,
        draws: int = 4,
        generator: Generator | None = None,
        height: int | None = None,
        width: int | None = None,
        frame_rate: int | None = None,
        window: Window | None = None,
        batch_size: int = 8,
    ) -> Ranking:
        """Which caption explains a video best: classification by likelihood, without training.

        All captions are scored under the same draws. Arguments that are not named here are those
        of `score`.

        Args:
            video: a file, or frames.
            prompts: the captions, at least 2.
            batch_size: captions side by side.
        """
        if isinstance(prompts, str) or len(prompts) < 2:
            raise ValueError(f"ranking wants a list of at least 2 captions, got {prompts!r}")
        request = plain_request(
            list(prompts),
            None,
            height=height,
            width=width,
            frame_rate=frame_rate,
            window=window,
        )
        plan, clean = self._read_given(video, request)
        scores = self._scores(plan, clean, draws=draws, generator=generator, batch_size=batch_size)
        return Ranking(prompts=tuple(prompts), scores=tuple(scores))

    def _read_given(self, video: Clip, request: Request) -> tuple[Plan, Tensor]:
        """The plan of a video that is there, and its clean latents (1, T, c, h, w)."""
        self._need_flow()
        clips = list_clips(video, name="video")
        if len(clips) != 1:
            raise ValueError(f"{len(clips)} videos were given: give one, and ask for each in turn")
        request = self._sized(request, clip_size(clips[0]))
        height = given(request.height, self.defaults.height)
        width = given(request.width, self.defaults.width)
        self._latent_shape(height, width)
        rate = given(request.frame_rate, self.defaults.frame_rate)
        frames = read_clip(clips[0], frame_rate=rate, height=height, width=width)
        factor = self.codec.temporal_factor
        whole = 1 + (len(frames) - 1) // factor * factor
        if whole < len(frames):
            warnings.warn(
                f"the video has {len(frames)} frames at {rate} frames per second, which is not 1 + "
                f"{factor}k: the last {len(frames) - whole} are left out",
                stacklevel=3,
            )
        plan = self._plan(replace(request, num_frames=whole))
        return plan, self.codec.encode(to_frames([frames[:whole]]).to(self._execution_device))

    def _scores(
        self,
        plan: Plan,
        clean: Tensor,
        *,
        draws: int,
        generator: Generator | None,
        batch_size: int,
    ) -> list[Score]:
        """A score for each prompt of the plan, all under the same draws."""
        text, again = self._both_texts(plan)
        dimensions = int(self.flow.config["in_channels"]) * int(self.flow.config["patch_size"]) ** 2
        made = []
        for noisy in self._noisy(plan, clean, draws=draws, generator=generator):
            several = zip(text.split(batch_size), again.split(batch_size), strict=True)
            outputs = [self._to_noise(plan, noisy, texts, agains) for texts, agains in several]
            log_probs = [token_log_prob(output.z, output.log_det) for output in outputs]
            made.append(bits(torch.cat(log_probs), dimensions=dimensions).cpu().double())
        self.maybe_free_model_hooks()
        return [Score(draws=each, dimensions=dimensions) for each in torch.stack(made, 1)]

    def _noisy(
        self, plan: Plan, clean: Tensor, *, draws: int, generator: Generator | None
    ) -> Iterator[Tensor]:
        """The latents (1, T, c, h, w) as noisy as the flow models them, so many times."""
        if draws < 1:
            raise ValueError(f"draws={draws}: give 1 or more, at least 2 for a standard error")
        shape = self._latent_shape(plan.height, plan.width)
        for child in seed_children(generator, draws):
            eps = noise_frames([child], shape, frames=clean.shape[1], device=clean.device)
            yield self.noised(clean, torch.cat(list(eps), dim=1))

    def _to_noise(self, plan: Plan, x: Tensor, text: Tensor, again: Tensor) -> FlowOutput:
        """x (1, T, c, h, w) -> z under each of the texts (B, L, E), in the plan's window."""
        videos = x.expand(len(text), -1, -1, -1, -1)
        output = self.flow(videos, text, window=plan.window, restart_text=again)
        assert isinstance(output, FlowOutput)
        return output

    def _both_texts(self, plan: Plan) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, E) of the captions, and of those from the first restart on."""
        text = self._texts(plan, plan.task).text
        assert text is not None
        restart = self._restart_texts(plan)
        again = text if restart is None or restart.text is None else restart.text
        return text, again

    def _need_flow(self) -> None:
        if self.config.get("num_inference_steps") is not None:
            raise ValueError(
                "this model was trained by flow matching, which has no exact likelihood and no "
                "exact inverse: use the model of a flow"
            )


def single_request(
    prompt: str | None,
    prompt_embeds: Tensor | None,
    *,
    height: int | None,
    width: int | None,
    frame_rate: int | None,
    window: Window | None,
) -> Request:
    """What one video under one caption asks for."""
    if not (prompt is None or isinstance(prompt, str)):
        raise ValueError(f"prompt must be one string, got {prompt!r}")
    if prompt_embeds is not None and (prompt_embeds.ndim != 3 or len(prompt_embeds) != 1):
        raise ValueError(
            f"prompt_embeds of shape {tuple(prompt_embeds.shape)} were given for one video: "
            "expected (1, length, width)"
        )
    return plain_request(
        prompt, prompt_embeds, height=height, width=width, frame_rate=frame_rate, window=window
    )


def plain_request(
    prompt: str | Sequence[str] | None,
    prompt_embeds: Tensor | None,
    *,
    height: int | None,
    width: int | None,
    frame_rate: int | None,
    window: Window | None,
    num_frames: int | None = None,
    latents: Tensor | None = None,
    output_type: str = "latent",
    solver: Solver | None = None,
) -> Request:
    """The model itself is asked, so there is no guidance."""
    return Request(
        prompt=prompt,
        negative_prompt=None,
        height=height,
        width=width,
        num_frames=num_frames,
        guidance_scale=0.0,
        num_videos_per_prompt=1,
        generator=None,
        latents=latents,
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=None,
        output_type=output_type,
        frame_rate=frame_rate,
        solver=solver,
        window=window,
        max_sequence_length=None,
    )
