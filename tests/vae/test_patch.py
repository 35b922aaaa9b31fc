"""The linear codec: an orthonormal basis, exact at full rank, fitted by principal components."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from starflow_v.vae import PatchCodec, codec_for
from starflow_v.vae.patch import cosine_basis


def clips(batch: int = 2, frames: int = 5, size: int = 8, seed: int = 0) -> Tensor:
    """Mixtures of three fixed clips: first and later patches together span six dimensions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(3, frames, 3, size, size, generator=torch.Generator().manual_seed(99))
    return (
        torch.einsum("bk,kfchw->bfchw", torch.randn(batch, 3, generator=generator), directions)
        * 0.1
    )


def test_cosine_basis_is_orthonormal() -> None:
    basis = cosine_basis(4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-5, rtol=0)


@torch.no_grad()
def test_full_rank_loses_nothing() -> None:
    codec, frames = codec_for(PatchCodec(channels=4 * 2 * 2 * 3, patch_size=2)), clips()
    torch.testing.assert_close(codec.decode(codec.encode(frames)), frames, atol=1e-5, rtol=0)


@torch.no_grad()
def test_forward_is_decode_of_encode() -> None:
    vae, frames = PatchCodec(channels=9, patch_size=4), clips()
    codec = codec_for(vae)
    torch.testing.assert_close(
        vae(frames).sample.clamp(-1, 1), codec.decode(codec.encode(frames)), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_forward_returns_a_tuple_on_demand() -> None:
    vae, frames = PatchCodec(channels=9, patch_size=4), clips()
    (sample,) = vae(frames, return_dict=False)
    assert torch.equal(sample, vae(frames).sample)
    assert sample.shape == frames.shape


@torch.no_grad()
def test_lowest_frequency_is_the_mean_colour() -> None:
    codec = codec_for(PatchCodec(channels=3, patch_size=8))
    colour = torch.tensor([0.5, -0.25, 0.75])
    latents = codec.encode(colour[:, None, None].expand(1, 5, 3, 8, 8))
    torch.testing.assert_close(latents, colour[:, None, None].expand(1, 2, 3, 1, 1))


@torch.no_grad()
def test_fit_beats_cosines_and_whitens() -> None:
    many = clips(batch=256)
    vae = PatchCodec.fit(iter(many.split(64)), 6, patch_size=8)
    codec = codec_for(vae)
    latents = codec.encode(many)
    spread = latents.transpose(0, 2).flatten(1).std(1)
    torch.testing.assert_close(spread, torch.ones(6), atol=0.01, rtol=0)

    def error(model: PatchCodec) -> float:
        other = codec_for(model)
        return float((other.decode(other.encode(many)) - many).square().mean())

    assert error(vae) < 1e-3 * error(PatchCodec(channels=6, patch_size=8))


@torch.no_grad()
def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    vae, frames = PatchCodec.fit([clips(8)], 4, patch_size=4), clips()
    vae.save_pretrained(tmp_path)
    loaded = PatchCodec.from_pretrained(tmp_path)
    assert torch.equal(codec_for(loaded).encode(frames), codec_for(vae).encode(frames))
    assert type(loaded).__module__ == "starflow_v"


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="between 1 and 48"):
        PatchCodec(channels=49, patch_size=2)
    with pytest.raises(ValueError, match="at least one clip"):
        PatchCodec.fit([], 4)
