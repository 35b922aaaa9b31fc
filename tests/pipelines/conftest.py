"""A whole pipeline with tiny random weights."""

from collections.abc import Callable

import pytest
import torch
from diffusers import AutoencoderKLWan

from starflow_v import CausalDenoiser, StarFlowModel, StarFlowVPipeline
from starflow_v.text import tiny_text_encoder

WORDS = ["a red circle moves right on a blue background"]


def tiny_vae() -> AutoencoderKLWan:
    """8x in space, 4x in time, 4 channels."""
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.1, -0.1, 0.0, 0.2],
        latents_std=[1.0, 0.8, 1.2, 1.0],
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
    )


def scatter(model: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter a value: a fresh flow is the identity and would hide mistakes."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def tiny_components() -> dict:
    torch.manual_seed(0)
    text_encoder, tokenizer = tiny_text_encoder(WORDS, width=16, layers=1, heads=2)
    flow = StarFlowModel(
        in_channels=4,
        shallow_width=24,
        deep_width=48,
        shallow_layers=(1, 1),
        deep_layers=2,
        head_dim=24,
        text_dim=16,
        reference_size=4,
    )
    denoiser = CausalDenoiser(
        in_channels=4,
        width=24,
        layers=2,
        head_dim=24,
        text_dim=16,
        reference_size=4,
        window=3,
        lookahead_layers=1,
    )
    return {
        "flow": scatter(flow),
        "denoiser": scatter(denoiser),
        "vae": tiny_vae().eval(),
        "text_encoder": text_encoder.eval(),
        "tokenizer": tokenizer,
    }


def tiny_pipeline(**settings) -> StarFlowVPipeline:
    options = {
        "noise_std": 0.3,
        "temporal_scale": 0.8,
        "frame_rate": 8,
        "num_frames": 9,
        "height": 16,
        "width": 24,
        "guidance_scale": 2.0,
        "text_length": 40,
        "conditions": ["fps", "aspect_ratio", "noise_std"],
        "window_frames": 4,
        "window_overlap": 2,
    }
    pipe = StarFlowVPipeline(**tiny_components(), **options | settings)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def pipe() -> StarFlowVPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="session")
def make_pipe() -> Callable[..., StarFlowVPipeline]:
    return tiny_pipeline
