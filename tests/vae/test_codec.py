"""Every codec: whole = streamed, two streams do not meet, sizes that do not fit are refused."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from torch import Tensor, nn

from starflow_v.vae import Codec, PatchCodec, codec_for


def tiny_wan(form: str) -> AutoencoderKLWan:
    """A random VAE of either form: 2.1 (8x in space) or 2.2 (16x, residual shortcuts, pixel
    patches)."""
    torch.manual_seed(0)
    channels = 6
    common = {
        "base_dim": 4,
        "z_dim": channels,
        "num_res_blocks": 1,
        "latents_mean": [0.1 * i for i in range(channels)],
        "latents_std": [0.5 + 0.1 * i for i in range(channels)],
    }
    if form == "2.1":
        return AutoencoderKLWan(
            dim_mult=[1, 1, 1, 1], temperal_downsample=[False, True, True], **common
        ).eval()
    return AutoencoderKLWan(
        dim_mult=[1, 2, 2],
        temperal_downsample=[True, True],
        is_residual=True,
        in_channels=48,
        out_channels=48,
        patch_size=4,
        scale_factor_spatial=16,
        **common,
    ).eval()


def tiny_image_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        scaling_factor=0.3,
        shift_factor=0.2,
    ).eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clip(frames: int = 9, size: int = 32, batch: int = 2) -> Tensor:
    return noise(batch, frames, 3, size, size).clamp(-1, 1)


VIDEO_CODECS = {
    "wan 2.1": lambda: codec_for(tiny_wan("2.1"), temporal_scale=0.6),
    "wan 2.2": lambda: codec_for(tiny_wan("2.2"), temporal_scale=0.6),
    "patch": lambda: codec_for(PatchCodec(channels=12, patch_size=8), temporal_scale=0.6),
}


@pytest.fixture(params=VIDEO_CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return VIDEO_CODECS[request.param]()


@torch.no_grad()
def test_shapes(codec: Codec) -> None:
    latents = codec.encode(clip(9))
    side = 32 // codec.spatial_factor
    assert latents.shape == (2, 3, codec.channels, side, side)
    assert codec.decode(latents).shape == (2, 9, 3, 32, 32)
    assert codec.encode(clip(1)).shape[1] == 1


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[1, 1, 1, 1], [2, 2], [1, 3], [4]])
def test_stream_equals_whole(codec: Codec, pieces: list[int]) -> None:
    latents = noise(2, 4, codec.channels, 2, 2)
    streamed = list(codec.decode_stream(latents.split(pieces, dim=1)))
    assert [it.shape[1] for it in streamed] == [4 * k - 3 * (i == 0) for i, k in enumerate(pieces)]
    torch.testing.assert_close(torch.cat(streamed, 1), codec.decode(latents), atol=1e-5, rtol=0)


@torch.no_grad()
def test_two_streams_do_not_meet(codec: Codec) -> None:
    a, b = (noise(1, 3, codec.channels, 2, 2, seed=seed) for seed in (1, 2))
    streams = [codec.decode_stream(it.split(1, dim=1)) for it in (a, b)]
    taken = [torch.cat(frames, 1) for frames in zip(*zip(*streams, strict=True), strict=True)]
    for latents, frames in zip((a, b), taken, strict=True):
        torch.testing.assert_close(frames, codec.decode(latents), atol=1e-6, rtol=0)


@torch.no_grad()
def test_stream_is_causal_and_lazy(codec: Codec) -> None:
    latents = noise(1, 3, codec.channels, 2, 2)
    asked: list[int] = []

    def source():
        for t in range(3):
            asked.append(t)
            yield latents[:, t : t + 1]

    stream = codec.decode_stream(source())
    first = next(stream)
    assert asked == [0]
    torch.testing.assert_close(first, codec.decode(latents[:, :1]))


@torch.no_grad()
@pytest.mark.parametrize("form", ["2.1", "2.2"])
def test_agrees_with_diffusers(form: str) -> None:
    vae = tiny_wan(form)
    codec, frames = codec_for(vae, temporal_scale=0.6), clip(9)
    mode = vae.encode(frames.transpose(1, 2)).latent_dist.mode()
    mean, std = (
        torch.tensor(it)[:, None, None, None]
        for it in (vae.config.latents_mean, vae.config.latents_std)
    )
    expected = ((mode - mean) / std).transpose(1, 2)
    expected[:, 1:] *= 0.6
    latents = codec.encode(frames)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        codec.decode(latents), vae.decode(mode).sample.transpose(1, 2), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_wan_module_keeps_no_state() -> None:
    vae = tiny_wan("2.2")
    vae.clear_cache()
    codec = codec_for(vae)
    before = {
        key: value for key, value in vars(vae).items() if key.startswith(("_feat", "_enc_feat"))
    }
    list(codec.decode_stream(codec.encode(clip(9)).split(1, dim=1)))
    assert all(entry is None for entry in [*vae._feat_map, *vae._enc_feat_map])
    assert all(vars(vae)[key] is value for key, value in before.items())


@torch.no_grad()
def test_half_precision_vae_keeps_the_latents_precision() -> None:
    codec = codec_for(tiny_wan("2.2").to(torch.bfloat16))
    latents = codec.encode(clip(5))
    assert latents.dtype == torch.float32
    assert codec.decode(latents).dtype == torch.float32


@torch.no_grad()
def test_model_offload_hook_is_asked() -> None:
    calls: list[nn.Module] = []

    class Hook:
        def pre_forward(self, module: nn.Module) -> None:
            calls.append(module)

    vae = tiny_wan("2.2")
    vae._hf_hook = Hook()
    codec = codec_for(vae)
    latents = codec.encode(clip(1))
    assert calls == [vae]
    codec.decode(latents)
    assert calls == [vae, vae]


@torch.no_grad()
def test_image_codec() -> None:
    vae = tiny_image_vae()
    codec, image = codec_for(vae), clip(1)
    latents = codec.encode(image)
    mode = vae.encode(image[:, 0]).latent_dist.mode()
    torch.testing.assert_close(latents[:, 0], (mode - 0.2) * 0.3)
    torch.testing.assert_close(
        codec.decode(latents)[:, 0], vae.decode(mode).sample.clamp(-1, 1), atol=1e-5, rtol=0
    )
    with pytest.raises(ValueError, match="single images"):
        codec.encode(clip(5))
    with pytest.raises(ValueError, match="single images"):
        codec.decode(noise(1, 2, 4, 2, 2))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (clip(6), "1 \\+ 4k frames, for example 5 or 9"),
        (clip(5, size=20), "multiples of 16"),
        (clip(5)[:, :, :1], "expected frames"),
    ],
)
def test_sizes_that_do_not_fit(frames: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec_for(tiny_wan("2.2")).encode(frames)


def test_latents_that_do_not_fit(codec: Codec) -> None:
    with pytest.raises(ValueError, match=f"latents \\(B,k,{codec.channels},h,w\\)"):
        codec.decode(noise(1, 2, codec.channels + 1, 2, 2))


def test_unknown_vae() -> None:
    with pytest.raises(ValueError, match="no codec for a Linear"):
        codec_for(nn.Linear(1, 1))
