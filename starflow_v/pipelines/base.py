"""What the pipelines share: components, what the model was trained for, captions and sizes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from diffusers import AutoencoderKL, AutoencoderKLWan, DiffusionPipeline
from diffusers.video_processor import VideoProcessor
from torch import Tensor, nn

from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.flow.window import ContextWindow, Window
from starflow_v.pipelines.defaults import Defaults
from starflow_v.pipelines.lora import StarFlowVLoraLoaderMixin
from starflow_v.pipelines.noise import NoiseMixin
from starflow_v.pipelines.windows import goes_on, window_sizes
from starflow_v.text import (
    Conditions,
    LabelEncoder,
    Task,
    Tokenizer,
    encode_captions,
    known_words,
    nearest_aspect_ratio,
    size_for,
    unknown_words,
    wrap_caption,
)
from starflow_v.vae import Codec, PatchCodec, PixelCodec, codec_for

CONDITIONS = ("fps", "aspect_ratio", "noise_std")
"""What a caption can be told beside the prompt, see `starflow_v.text.Conditions`."""


class StarFlowVBasePipeline(NoiseMixin, DiffusionPipeline, StarFlowVLoraLoaderMixin):
    """Components and conventions of every STARFlow-V pipeline.

    Args:
        flow: the flow.
        denoiser: cleans the flow's noisy latents; `None`: one step along the flow's own score.
        vae: the codec: `AutoencoderKLWan`, `AutoencoderKL`, `PatchCodec` or `PixelCodec`;
            `None` for a pipeline whose parts are used one by one.
        text_encoder: an encoder of transformers, T5 in the released models, or a `LabelEncoder`,
            whose prompts are the names of classes; `None`: prompts are given as embeddings.
        tokenizer: its tokenizer; `None` beside a `LabelEncoder`.
        noise_std: standard deviation of the noise in the latents that the flow models.
        decoder_cleans: whether decoding takes that noise away by itself, without a denoiser: a VAE
            that was trained with `train-vae --noisy`, or pixels, whose noise fills their bins.
        temporal_scale: factor of the latent frames after the first.
        frame_rate: frames per second of the training videos.
        num_frames: pixel frames of a clip, 1 + 4k.
        height: pixels.
        width: pixels.
        guidance_scale: the paper's w; 0 is the conditional model itself.
        edit_guidance_scale: the same of edits by an instruction, without a mask; `None`: no other.
        untold_guidance: the share of it that edits have that are told nothing of their clip.
        edit_fidelity: how much of its noise the target of an edit has from its source.
        text_length: tokens of text.
        conditions: which of `CONDITIONS` the captions tell, as they did in training; `None`: none
            (the released models were trained with all).
        tasks: what the model was trained for: "video", "image", "extend", "last", "v2v"; `None`:
            "video" and "image".
        window_frames: latent frames that the deep block was trained with; longer videos restart.
        window_overlap: latent frames carried over a restart.
        caption_patterns: captions of stills as {"patterns": [...], "words": {...}}, see
            `starflow_v.text.CaptionPatterns`, of a model whose edits are told what their source
            shows; `None`: they are not.
    """

    model_cpu_offload_seq = "text_encoder->flow->denoiser->vae"
    _callback_tensor_inputs: ClassVar = ["latents", "prompt_embeds", "negative_prompt_embeds"]
    _optional_components: ClassVar = ["denoiser", "vae", "text_encoder", "tokenizer"]

    flow: StarFlowModel
    denoiser: CausalDenoiser | None
    vae: AutoencoderKLWan | AutoencoderKL | PatchCodec | PixelCodec | None
    text_encoder: nn.Module | None
    tokenizer: Tokenizer | None

    def __init__(
        self,
        flow: StarFlowModel,
        denoiser: CausalDenoiser | None,
        vae: AutoencoderKLWan | AutoencoderKL | PatchCodec | PixelCodec | None,
        text_encoder: nn.Module | None,
        tokenizer: Tokenizer | None,
        noise_std: float = 0.5,
        temporal_scale: float = 0.6,
        frame_rate: int = 16,
        num_frames: int = 81,
        height: int = 480,
        width: int = 848,
        guidance_scale: float = 3.5,
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
        super().__init__()
        if decoder_cleans and denoiser is not None:
            raise ValueError(
                "the decoder cleans, but there is a denoiser, too: give denoiser=None, or "
                "decoder_cleans=False"
            )
        told = list(conditions or [])
        unknown = sorted(set(told) - set(CONDITIONS))
        if unknown:
            raise ValueError(f"conditions {unknown} are not known: choose from {CONDITIONS}")
        self.register_modules(
            flow=flow, denoiser=denoiser, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer
        )
        self.register_to_config(
            noise_std=noise_std,
            temporal_scale=temporal_scale,
            frame_rate=frame_rate,
            num_frames=num_frames,
            height=height,
            width=width,
            guidance_scale=guidance_scale,
            text_length=text_length,
            conditions=told,
            tasks=["video", "image"] if tasks is None else list(tasks),
            window_frames=window_frames,
            window_overlap=window_overlap,
            decoder_cleans=decoder_cleans,
            edit_guidance_scale=edit_guidance_scale,
            untold_guidance=untold_guidance,
            edit_fidelity=edit_fidelity,
            caption_patterns=caption_patterns,
        )
        self.video_processor = VideoProcessor(vae_scale_factor=1)
        self._guidance_scale = guidance_scale
        self._num_timesteps = 0
        self._interrupt = False

    @property
    def codec(self) -> Codec:
        """The VAE as a map between pixel frames and normalised latents."""
        if self.vae is None:
            raise ValueError(
                "this pipeline has no VAE, so it knows neither pixels nor its latents' sizes: "
                "give one, StarFlowVPipeline.from_pretrained(folder, vae=...), or convert the "
                "checkpoint again with --vae"
            )
        return codec_for(self.vae, temporal_scale=self.config["temporal_scale"])

    @property
    def defaults(self) -> Defaults:
        """Sizes, frame rate and guidance of a call that does not give them."""
        return Defaults(**{name: self.config[name] for name in Defaults.__dataclass_fields__})

    @property
    def size_multiple(self) -> int:
        """Heights and widths are multiples of this many pixels."""
        return self.codec.spatial_factor * int(self.flow.config["patch_size"])

    def size_for(self, aspect_ratio: str) -> tuple[int, int]:
        """Height and width of an aspect ratio such as "16:9", at the model's own area."""
        area = self.config["height"] * self.config["width"]
        return size_for(aspect_ratio, area=area, multiple=self.size_multiple)

    def nearest_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width, of those the model was trained with, nearest in their ratio."""
        own = self.config["height"], self.config["width"]
        ratio = nearest_aspect_ratio(height, width)
        varied = "aspect_ratio" in self.config["conditions"]
        return self.size_for(ratio) if varied and ratio != nearest_aspect_ratio(*own) else own

    @property
    def guidance_scale(self) -> float:
        """w of the running call."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the running call needs the unconditional branch."""
        return self._guidance_scale > 0

    @property
    def num_timesteps(self) -> int:
        """Latent frames of the running call: the steps that callbacks count."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set to `True` (in a callback) to stop after the current frame."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, stop: bool) -> None:
        self._interrupt = stop

    def encode_prompt(
        self,
        prompt: str | Sequence[str] | None,
        negative_prompt: str | Sequence[str] | None = None,
        do_classifier_free_guidance: bool = True,
        num_videos_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        max_sequence_length: int | None = None,
        conditions: Conditions | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Captions around the prompts, and their embeddings. Needs no model but the text encoder.

        The unconditional branch wraps the negative (or the empty) prompt in the same conditions.

        Args:
            prompt: one or several prompts.
            negative_prompt: what the unconditional branch is told instead of nothing.
            do_classifier_free_guidance: whether there is an unconditional branch.
            num_videos_per_prompt: how often each embedding is repeated.
            prompt_embeds: embeddings (B, L, E) instead of prompts.
            negative_prompt_embeds: embeddings instead of negative prompts.
            max_sequence_length: L, tokens of text; `None`: as trained.
            conditions: what the captions tell; `None`: `conditions_for` a video as trained.

        Returns:
            prompt_embeds and negative_prompt_embeds (`None` without guidance), (B, L, E) each; B is
            the number of prompts times `num_videos_per_prompt`.
        """
        conditions = conditions or self.conditions_for()
        length = max_sequence_length or self.config["text_length"]
        wanted = prompt_embeds is None or do_classifier_free_guidance
        if not self._reads_prompts and wanted:
            self._refuse_without_text_encoder(prompt_embeds, negative_prompt_embeds)
        if prompt_embeds is None:
            if prompt is None:
                raise ValueError("give a prompt, or prompt_embeds")
            prompts = [prompt] if isinstance(prompt, str) else list(prompt)
            self._warn_of_unknown_words(prompts)
            prompt_embeds = self._encode(prompts, conditions, length)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negative = negative_prompt or ""
            count = prompt_embeds.shape[0]
            negatives = [negative] * count if isinstance(negative, str) else list(negative)
            if len(negatives) != count:
                raise ValueError(
                    f"{len(negatives)} negative prompts for {count} prompts: give one, or one each"
                )
            negative_prompt_embeds = self._encode(negatives, conditions, length)
        prompt_embeds = prompt_embeds.repeat_interleave(num_videos_per_prompt, dim=0)
        if negative_prompt_embeds is not None:
            negative_prompt_embeds = negative_prompt_embeds.repeat_interleave(
                num_videos_per_prompt, dim=0
            )
        return prompt_embeds, negative_prompt_embeds

    def conditions_for(
        self,
        *,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        frame_rate: int | None = None,
        task: Task | None = None,
    ) -> Conditions:
        """What the caption of such a video tells; `None`: as trained, and no known frames."""
        told, config = self.config["conditions"], self.config
        still = (num_frames or config["num_frames"]) == 1
        ratio = nearest_aspect_ratio(height or config["height"], width or config["width"])
        return Conditions(
            task=task,
            fps=(0 if still else frame_rate or config["frame_rate"]) if "fps" in told else None,
            aspect_ratio=ratio if "aspect_ratio" in told else None,
            noise_std=config["noise_std"] if "noise_std" in told else None,
        )

    @property
    def extends(self) -> bool:
        """Whether the model knows frames that go on from others, told by "(extend)"."""
        return goes_on(self.config)

    def window_for(self, latent_frames: int) -> Window | None:
        """The window of a video of that many latent frames: none if the deep block holds it."""
        if latent_frames <= self.config["window_frames"]:
            return None
        return ContextWindow(*window_sizes(self.config))

    def whole_frames(self, num_frames: int) -> int:
        """`num_frames` rounded to 1 + 4k, with a warning if that changes it."""
        factor = self.codec.temporal_factor
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames}: give 1 (an image) or more")
        later = (num_frames - 1 + factor // 2) // factor
        whole = 1 if num_frames == 1 else 1 + max(1, later) * factor
        if whole != num_frames:
            warnings.warn(
                f"num_frames={num_frames} is not 1 + {factor}k: {whole} frames will be made",
                stacklevel=3,
            )
        return whole

    def _refuse_without_text_encoder(
        self, prompt_embeds: Tensor | None, negative_prompt_embeds: Tensor | None
    ) -> None:
        embeds = {
            "prompt_embeds": prompt_embeds,
            "negative_prompt_embeds": negative_prompt_embeds,
        }
        missing = [name for name, tensor in embeds.items() if tensor is None]
        if missing:
            raise ValueError(
                f"this pipeline has no text encoder: give {' and '.join(missing)} (the latter are "
                "needed for guidance only: guidance_scale=0 does without)"
            )

    @property
    def _reads_prompts(self) -> bool:
        """Whether there is an encoder of classes, or one of text with its tokenizer."""
        encoder = self.text_encoder
        return isinstance(encoder, LabelEncoder) or (
            encoder is not None and self.tokenizer is not None
        )

    def _encode(self, prompts: Sequence[str], conditions: Conditions, length: int) -> Tensor:
        if isinstance(self.text_encoder, LabelEncoder):
            embeddings: Tensor = self.text_encoder(
                self.text_encoder.numbers(prompts).to(self._execution_device)
            )
            return embeddings
        assert self.text_encoder is not None and self.tokenizer is not None, "checked before"
        captions = [wrap_caption(prompt, conditions) for prompt in prompts]
        return encode_captions(
            self.text_encoder,
            self.tokenizer,
            captions,
            max_length=length,
            device=self._execution_device,
        )

    def _warn_of_unknown_words(self, prompts: Sequence[str]) -> None:
        if self.tokenizer is None:
            return
        unknown = dict.fromkeys(w for p in prompts for w in unknown_words(self.tokenizer, p))
        if unknown:
            warnings.warn(
                f"this model has never seen: {', '.join(unknown)}. The words it knows: "
                f"{', '.join(known_words(self.tokenizer))}",
                stacklevel=4,
            )
