"""`AutoencoderKL`, the VAE of still images: one latent frame is one pixel frame.

normalised = (raw - shift_factor) · scaling_factor
"""

from __future__ import annotations

from diffusers import AutoencoderKL
from torch import Tensor

from starflow_v.vae.codec import Codec, prepare_offloaded


class ImageCodec(Codec[int]):
    """Stills only: an image is a video of one frame, and this VAE knows no second one. The state
    counts frames."""

    vae: AutoencoderKL
    temporal_factor = 1

    def __init__(self, vae: AutoencoderKL, *, temporal_scale: float = 1.0) -> None:
        config = vae.config
        self.channels = config.latent_channels
        self.spatial_factor = 2 ** (len(config.block_out_channels) - 1)
        super().__init__(
            vae,
            mean=[config.shift_factor or 0.0] * self.channels,
            std=[1.0 / config.scaling_factor] * self.channels,
            temporal_scale=temporal_scale,
        )

    def latent_frames(self, num_frames: int) -> int:
        """1, the only number of frames there is."""
        if num_frames != 1:
            raise ValueError(
                f"{num_frames} frames do not fit: an AutoencoderKL encodes single images; "
                "use an AutoencoderKLWan or a PatchCodec for videos"
            )
        return 1

    def _encode(self, frames: Tensor) -> Tensor:
        mode = self.vae.encode(frames[:, 0].to(self.vae.dtype)).latent_dist.mode()
        return mode[:, None]

    def _begin(self) -> int:
        return 0

    def _decode(self, latents: Tensor, state: int) -> tuple[Tensor, int]:
        self.latent_frames(state + 1)
        prepare_offloaded(self.vae)
        frame = self.vae.decode(latents[:, 0].to(self.vae.dtype)).sample
        return frame[:, None], state + 1
