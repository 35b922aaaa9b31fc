"""Pixels in the place of latents: levels survive, bins are whole, folders load."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from starflow_v import PixelCodec
from starflow_v.vae import codec_for


def all_levels(levels: int, channels: int) -> torch.Tensor:
    """Frames (B,1,3,1,K) in which every level occurs; gray ones if there is one channel."""
    row = torch.linspace(-1, 1, levels)
    frames = torch.stack([row, row.flip(0), row.roll(1)]) if channels == 3 else row.expand(3, -1)
    return frames[None, None, :, None]


@pytest.mark.parametrize(("channels", "levels"), [(3, 256), (1, 17), (1, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_levels_survive_the_way_there_and_back(channels, levels, dtype) -> None:
    codec = codec_for(PixelCodec(channels, levels).to(dtype))
    frames = all_levels(levels, channels)
    assert_close(codec.decode(codec.encode(frames)), frames, atol=1e-6, rtol=0)


def test_a_latent_is_the_middle_of_its_bin_and_noise_within_it_is_undone() -> None:
    codec = codec_for(PixelCodec(1, 17))
    frames = all_levels(17, 1)
    latents = codec.encode(frames)
    assert_close(latents.flatten(), 2 * (torch.arange(17) + 0.5) / 17 - 1)
    noise = (2 * torch.rand(100, *latents.shape[1:]) - 1) * 0.999 / 17
    assert_close(codec.decode(latents + noise), frames.expand(100, -1, -1, -1, -1))


def test_the_standard_deviation_is_that_of_a_bin() -> None:
    draws = (2 * torch.rand(200_000, generator=torch.Generator().manual_seed(0)) - 1) / 17
    assert float(draws.std()) == pytest.approx(PixelCodec(1, 17).bin_std, rel=1e-2)


def test_a_latent_frame_is_a_pixel_frame_of_the_same_size() -> None:
    codec = codec_for(PixelCodec(3))
    frames = 2 * torch.rand(2, 3, 3, 4, 6) - 1
    assert codec.encode(frames).shape == frames.shape
    assert codec.latent_frames(3) == 3


def test_a_saved_codec_is_the_same(tmp_path: Path) -> None:
    PixelCodec(1, 17).half().save_pretrained(tmp_path)
    loaded = PixelCodec.from_pretrained(tmp_path)
    assert (loaded.config["channels"], loaded.config["levels"]) == (1, 17)
    frames = all_levels(17, 1)
    assert_close(loaded(frames).sample, frames, atol=1e-6, rtol=0)


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"levels": 1}])
def test_what_is_no_picture_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="is not valid"):
        PixelCodec(**wrong)
