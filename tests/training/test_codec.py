"""Training a tiny codec: its forward pass, its curriculum, its exported folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from starflow_v.cli.train_vae import noisy_decoder
from starflow_v.config import load_config
from starflow_v.data.scenes import SceneStream
from starflow_v.training.engine.recipe import Share
from starflow_v.training.export import export_checkpoint
from starflow_v.training.vae import autoencoder
from starflow_v.training.vae.autoencoder import (
    Autoencoder,
    AutoencoderSettings,
    LatentStatistics,
    latent_statistics,
)
from starflow_v.training.vae.clips import HARD_SHAPES, held_out_clips, sample_hard
from starflow_v.training.vae.codec import CodecRecipe, train_codec
from starflow_v.training.vae.reconstruction import (
    detail_mask,
    psnr,
    pyramid_loss,
    reconstruction_loss,
)
from starflow_v.training.vae.settings import CodecSettings
from starflow_v.vae import codec_for

CONFIG = Path(__file__).parents[2] / "configs/embedded_vae.yaml"
TINY = [
    "model.base_dim=8",
    "model.channels=6",
    "trainer.steps=6",
    "trainer.log_every=1",
    "trainer.save_every=3",
    "trainer.evaluate_every=6",
    "trainer.threads=null",
    "data.num_frames=9",
    "data.height=32",
    "data.width=32",
    "curriculum=[{steps: 2, frames: 1, batch_size: 4}, {steps: 1, frames: 5, batch_size: 2}]",
]


def tiny_settings(folder: Path, *more: str) -> CodecSettings:
    return load_config(CodecSettings, CONFIG, [*TINY, f"trainer.folder={folder}", *more])


def test_shipped_configuration_is_valid() -> None:
    settings = load_config(CodecSettings, CONFIG)
    assert settings.model.channels == 48
    assert settings.curriculum[-1].frames == settings.data.num_frames


@torch.no_grad()
def test_forward_is_decode_of_encode() -> None:
    torch.manual_seed(0)
    vae = AutoencoderSettings(channels=6, base_dim=8).build()
    frames = torch.rand(2, 9, 3, 32, 32) * 2 - 1
    reconstruction, latents = Autoencoder(vae)(frames, torch.zeros(2, 3, 6, 2, 2))
    codec = codec_for(vae)
    torch.testing.assert_close(latents, codec.encode(frames), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        reconstruction.clamp(-1, 1), codec.decode(latents), atol=1e-5, rtol=1e-5
    )


def test_noise_is_relative_to_the_latents_spread() -> None:
    vae = AutoencoderSettings(channels=6, base_dim=8).build()
    seen = []
    vae.post_quant_conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frames, noise = torch.rand(2, 5, 3, 32, 32), torch.randn(2, 2, 6, 2, 2)
    with torch.no_grad():
        _, latents = Autoencoder(vae)(frames, noise)
    spread = latents.std((0, 1, 3, 4), keepdim=True)
    torch.testing.assert_close(torch.cat(seen, 2).transpose(1, 2), latents + spread * noise)


@torch.no_grad()
def test_a_decoder_learns_the_noise_that_a_flow_will_hand_it() -> None:
    """The noise was that of raw latents, the same for first and later frames, which differ."""
    torch.manual_seed(0)
    vae = AutoencoderSettings(channels=6, base_dim=8).build()
    statistics = LatentStatistics(mean=[0.3] * 6, std=[0.5] * 6, temporal_scale=0.7)
    vae.register_to_config(latents_mean=statistics.mean, latents_std=statistics.std)
    frames, noise = torch.rand(2, 9, 3, 32, 32), 0.15 * torch.randn(2, 3, 6, 2, 2)
    reconstruction, _ = Autoencoder(vae, statistics)(frames, noise)
    codec = codec_for(vae, temporal_scale=statistics.temporal_scale)
    expected = codec.decode(codec.encode(frames) + noise)
    torch.testing.assert_close(reconstruction.clamp(-1, 1), expected, atol=1e-5, rtol=1e-5)


def test_a_vae_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(ValueError, match="holds AutoencoderKL: train-vae goes on with"):
        CodecRecipe(tiny_settings(tmp_path, f"initialize={tmp_path}"))


def test_detail_is_where_colours_change() -> None:
    frames = torch.zeros(1, 1, 3, 16, 16)
    assert detail_mask(frames).sum() == 0
    frames[..., 8:] = 1.0
    mask = detail_mask(frames)[0, 0, 0]
    assert mask[:, 5:10].all() and not mask[:, :5].any() and not mask[:, 10:].any()


def test_psnr() -> None:
    frames = torch.zeros(2, 1, 3, 8, 8)
    torch.testing.assert_close(psnr(frames + 0.2, frames), torch.full((2,), 20.0))


def test_loss_counts_detail_twice() -> None:
    frames = torch.zeros(2, 1, 3, 8, 8)
    assert reconstruction_loss(frames, frames) == 0
    torch.testing.assert_close(reconstruction_loss(frames + 0.1, frames), torch.tensor(0.12))
    frames[..., 4:] = 1.0  # an edge: columns 1 to 5 are detail
    for column, near in ((0, 0.0), (3, 1 / 5)):
        off = frames.clone()
        off[..., column] += 0.5
        expected = (0.5 + 2 * 0.25) * (1 / 8 + near)
        torch.testing.assert_close(reconstruction_loss(off, frames), torch.tensor(expected))


def test_batches_depend_on_step_and_number_alone(tmp_path: Path) -> None:
    recipe = CodecRecipe(tiny_settings(tmp_path))
    whole = next(recipe.batches([Share(step=1, samples=range(4))]))
    parts = list(
        recipe.batches([Share(step=1, samples=range(2)), Share(step=1, samples=range(2, 4))])
    )
    assert whole.frames.shape == (4, 1, 3, 32, 32) and whole.noise.shape == (4, 1, 6, 2, 2)
    assert torch.equal(whole.frames, torch.cat([it.frames for it in parts]))
    assert torch.equal(whole.noise, torch.cat([it.noise for it in parts]))
    assert [recipe.settings.stage(step).frames for step in (0, 1, 2, 3, 99)] == [1, 1, 5, 5, 5]


def test_hard_samples_have_hard_shapes(tmp_path: Path) -> None:
    stream = SceneStream(0, tiny_settings(tmp_path).data)
    samples = [sample_hard(stream, index) for index in range(20)]
    hard = [any((it.shape, it.size) in HARD_SHAPES for it in s.scene.objects) for s in samples]
    assert sum(hard) >= 18
    assert np.array_equal(sample_hard(stream, 3).frames, samples[3].frames)


def test_trains_exports_and_resumes(tmp_path: Path) -> None:
    overrides = [*TINY, f"trainer.folder={tmp_path}"]
    assert train_codec(CONFIG, [*overrides, "trainer.max_seconds=0"]) is None
    folder = train_codec(CONFIG, overrides)
    assert folder == tmp_path / "vae"
    vae = AutoencoderKLWan.from_pretrained(folder)
    statistics = json.loads((folder / "statistics.json").read_text())
    assert vae.config.latents_std == statistics["std"]
    latents = codec_for(vae).encode(
        next(held_out_clips(tiny_settings(tmp_path).data, count=4, batch=4))
    )
    assert latents.shape == (4, 3, 6, 2, 2)
    assert 0.3 < latents.std() < 3
    assert (tmp_path / "samples/step-00000006/clips.png").is_file()
    checkpoint = tmp_path / "checkpoints" / "step-00000006"
    weights = "diffusion_pytorch_model.safetensors"
    again = export_checkpoint(checkpoint, tmp_path / "again")
    assert (again / weights).read_bytes() == (folder / weights).read_bytes()


def test_export_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no whole checkpoint"):
        export_checkpoint(tmp_path / "nothing", tmp_path / "vae")


def test_decoder_alone_goes_on_and_latents_stay(tmp_path: Path) -> None:
    """A flow trained on the first export's latents must stay valid for the second's."""
    first = train_codec(CONFIG, [*TINY, f"trainer.folder={tmp_path / 'first'}"])
    more = [f"initialize={first}", "freeze_encoder=true", f"trainer.folder={tmp_path / 'second'}"]
    second = train_codec(CONFIG, [*TINY, *more])
    assert first is not None and second is not None
    before, after = (AutoencoderKLWan.from_pretrained(it) for it in (first, second))
    frames = next(held_out_clips(tiny_settings(tmp_path).data, count=2, batch=2))
    latents = codec_for(before).encode(frames)
    assert torch.equal(latents, codec_for(after).encode(frames))
    assert not torch.equal(codec_for(before).decode(latents), codec_for(after).decode(latents))


def test_frozen_encoder_needs_a_vae(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="freeze_encoder needs initialize"):
        tiny_settings(tmp_path, "freeze_encoder=true")


def test_statistics_make_latents_standard(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = AutoencoderSettings(channels=6, base_dim=8).build()
    clips = list(held_out_clips(tiny_settings(tmp_path).data, count=8, batch=4))
    statistics = latent_statistics(vae, clips)
    vae.register_to_config(latents_mean=statistics.mean, latents_std=statistics.std)
    codec = codec_for(vae, temporal_scale=statistics.temporal_scale)
    latents = torch.cat([codec.encode(it) for it in clips]).detach()
    for part in (latents[:, :1], latents[:, 1:]):
        torch.testing.assert_close(part.std(), torch.tensor(1.0), rtol=1e-3, atol=0)


def test_statistics_are_measured_where_the_vae_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator the engine moves the VAE there; clips are made on the CPU."""
    vae, seen = AutoencoderSettings(channels=6, base_dim=8).build().to("meta"), []

    def encode(_: object, pixels: torch.Tensor, *, piece: int) -> torch.Tensor:
        seen.append(pixels.device.type)
        return torch.randn(2, 12, 3, 2, 2)

    monkeypatch.setattr(autoencoder, "encode_moments", encode)
    latent_statistics(vae, [torch.zeros(2, 9, 3, 32, 32)])
    assert seen == ["meta"]


def test_bad_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="export_dtype"):
        tiny_settings(tmp_path, "export_dtype=int8")
    with pytest.raises(ValueError, match="at least one stage"):
        tiny_settings(tmp_path, "curriculum=[]")


def test_a_decoder_of_noisy_latents_has_one_level_and_keeps_its_encoder(tmp_path: Path) -> None:
    vae = AutoencoderSettings(channels=6, base_dim=8).build()
    vae.save_pretrained(tmp_path / "start")
    statistics = LatentStatistics(mean=[0.0] * 6, std=[1.0] * 6, temporal_scale=1.0)
    (tmp_path / "start" / "statistics.json").write_text(json.dumps(asdict(statistics)))
    noisy = [f"initialize={tmp_path / 'start'}", *noisy_decoder(0.5)]
    recipe = CodecRecipe(tiny_settings(tmp_path / "run", *noisy))
    batch = next(recipe.batches([Share(step=0, samples=range(4))]))
    assert float(batch.noise.std()) == pytest.approx(0.5, rel=0.15)
    recipe.backward({"codec": recipe.model}, batch, lambda loss: loss.backward())
    named = recipe.model.vae.named_parameters()
    moved = {name.split(".")[0] for name, it in named if it.grad is not None}
    assert moved == {"decoder", "post_quant_conv"}


def test_the_pyramid_sees_texture_that_a_mean_square_hardly_does() -> None:
    frames = torch.zeros(1, 1, 3, 16, 16)
    assert pyramid_loss(frames, frames) == 0
    texture, shade = torch.full_like(frames, 0.1), torch.full_like(frames, 0.1)
    texture[..., ::2, ::2] *= -1
    texture[..., 1::2, 1::2] *= -1
    assert psnr(texture, frames) == psnr(shade, frames)
    assert pyramid_loss(texture, frames) == pytest.approx(0.1, rel=1e-4)
    blurred = torch.rand(1, 1, 3, 16, 16).mean(-1, keepdim=True).expand(-1, -1, -1, -1, 16)
    assert pyramid_loss(blurred, frames) > pyramid_loss(blurred, blurred)


def test_the_shipped_configuration_of_a_noisy_decoder_is_what_the_option_says() -> None:
    path = CONFIG.with_name("embedded_vae_noisy.yaml")
    assert load_config(CodecSettings, path) == load_config(CodecSettings, path, noisy_decoder(0.15))
    with pytest.raises(ValueError, match="noise_floor"):
        load_config(CodecSettings, path, ["latent_noise=0.1"])
