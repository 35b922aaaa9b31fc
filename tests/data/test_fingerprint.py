"""A cache's fingerprint heeds the encoder side of a codec, and nothing else."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from torch import nn

from starflow_v import PatchCodec
from starflow_v.data.fingerprint import encoder_fingerprint
from tests.pipelines.conftest import tiny_vae


def image_vae() -> AutoencoderKL:
    return AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=2)


@pytest.mark.parametrize("make", [tiny_vae, image_vae, lambda: PatchCodec(channels=4)])
def test_only_the_encoder_side_counts(make) -> None:
    torch.manual_seed(0)
    vae: nn.Module = make()
    name = encoder_fingerprint(vae)
    decoding = {key for key, _ in vae.named_parameters() if "decoder" in key or "post_" in key}
    assert decoding
    for key, parameter in vae.named_parameters():
        with torch.no_grad():
            parameter.view(-1)[0] += 1
        assert (encoder_fingerprint(vae) == name) == (key in decoding), key
        with torch.no_grad():
            parameter.view(-1)[0] -= 1
        name = encoder_fingerprint(vae)  # adding and subtracting may round


def test_the_latents_statistics_count() -> None:
    vae = tiny_vae()
    name = encoder_fingerprint(vae)
    vae.register_to_config(latents_std=[2.0, 0.8, 1.2, 1.0])
    assert encoder_fingerprint(vae) != name


def test_a_saved_vae_has_the_name_that_it_had(tmp_path: Path) -> None:
    vae = tiny_vae().half()
    vae.save_pretrained(tmp_path)
    assert encoder_fingerprint(AutoencoderKLWan.from_pretrained(tmp_path)) == encoder_fingerprint(
        vae
    )
