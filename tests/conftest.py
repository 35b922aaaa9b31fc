"""Tiny models whose every weight is random, so that no term of the mathematics is zero."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from starflow_v import CausalDenoiser, StarFlowModel

TEXT_DIM, TEXT_LENGTH = 6, 3
BATCH, FRAMES, CHANNELS = 2, 3, 2

VARIANTS = {  # name -> (arguments, rows and columns of tokens)
    "tokens": ({}, (2, 3)),
    "tokens, even blocks, patch 2": ({"patch_size": 2, "shallow_layers": (1,)}, (3, 1)),
    "frame-causal": ({"deep_groups": 1, "shallow_layers": (1, 2)}, (3, 2)),
    "frame-causal, coupling": ({"deep_groups": 1, "shallow_groups": 2, "patch_size": 2}, (2, 4)),
    "2 deep, 4 shallow groups": ({"deep_groups": 2, "shallow_groups": 4}, (1, 4)),
    "4 deep, 2 shallow groups": ({"deep_groups": 4, "shallow_groups": 2}, (4, 2)),
    "no text": ({"text_dim": None}, (2, 1)),
    "one block": ({"shallow_layers": ()}, (2, 2)),
    "coarse to fine": ({"deep_order": "coarse_to_fine", "head_dim": 20}, (3, 2)),
    "coarse to fine, 2 groups": (
        {"deep_order": "coarse_to_fine", "shallow_order": "coarse_to_fine", "deep_groups": 2},
        (2, 4),
    ),
    "dilated": (
        {
            "deep_order": "dilated",
            "shallow_order": "dilated",
            "deep_groups": 4,
            "shallow_groups": 4,
        },
        (2, 4),
    ),
}
SEEDS = (0, 1)
WITH_TEXT = [name for name, (arguments, _) in VARIANTS.items() if "text_dim" not in arguments]
KINDS = {f"{name}, seed {seed}": (name, seed) for name in VARIANTS for seed in SEEDS}
KINDS_WITH_TEXT = {key: kind for key, kind in KINDS.items() if kind[0] in WITH_TEXT}

Make = Callable[..., nn.Module]
"""Makes a tiny model: `seed`, `dtype`, and arguments of its class that differ from ours."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shake(model: nn.Module, seed: int, dtype: torch.dtype) -> nn.Module:
    """Give every weight a random part, the zero-initialised ones too."""
    model.double()
    with torch.no_grad():
        for index, weight in enumerate(model.parameters()):
            weight.copy_(0.25 * draw(*weight.shape, seed=1000 * seed + index))
            if weight.ndim == 1:  # the weight of a LayerNorm would be one
                weight.add_(0.5)
    return nn.Module.to(model, dtype).eval()  # the `to` of diffusers warns of every dtype


@pytest.fixture(scope="session")
def make_flow() -> Make:
    def make(*, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object) -> nn.Module:
        arguments = {
            "in_channels": CHANNELS,
            "shallow_width": 20,
            "deep_width": 40,
            "shallow_layers": (1, 1),
            "deep_layers": 2,
            "head_dim": 20,
            "text_dim": TEXT_DIM,
            "reference_size": 4.0,
        }
        return shake(StarFlowModel(**(arguments | changes)), seed, dtype)

    return make


@pytest.fixture(scope="session")
def make_denoiser() -> Make:
    def make(*, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object) -> nn.Module:
        arguments = {
            "in_channels": CHANNELS,
            "width": 40,
            "layers": 3,
            "head_dim": 20,
            "text_dim": TEXT_DIM,
            "reference_size": 4.0,
            "window": 2,
        }
        return shake(CausalDenoiser(**(arguments | changes)), seed, dtype)

    return make


@pytest.fixture(scope="session")
def text() -> Tensor:
    return draw(BATCH, TEXT_LENGTH, TEXT_DIM, seed=1)


@pytest.fixture(scope="session", params=KINDS)
def case(request: pytest.FixtureRequest, make_flow: Make, text: Tensor) -> SimpleNamespace:
    """A flow of every kind, with latents `x`, their `z` and text that fit it."""
    return make_case(*KINDS[request.param], make_flow, text)


@pytest.fixture(scope="session", params=KINDS_WITH_TEXT)
def text_case(request: pytest.FixtureRequest, make_flow: Make, text: Tensor) -> SimpleNamespace:
    """The same for flows with text only."""
    return make_case(*KINDS[request.param], make_flow, text)


def make_case(name: str, seed: int, make_flow: Make, text: Tensor) -> SimpleNamespace:
    arguments, (rows, columns) = VARIANTS[name]
    flow = make_flow(seed=list(VARIANTS).index(name) + 100 * seed, **arguments)
    patch = flow.config["patch_size"]
    x = draw(BATCH, FRAMES, CHANNELS, rows * patch, columns * patch, seed=2 + 100 * seed)
    has_text = name in WITH_TEXT
    words, null_text = (text, text.flip(0)) if has_text else (None, None)
    with torch.no_grad():
        z, log_det = flow(x, words, return_dict=False)
    return SimpleNamespace(
        flow=flow,
        x=x,
        z=z,
        log_det=log_det,
        text=words,
        null_text=null_text,
        tokens=rows * columns,
        blocks=len(flow.shallow.blocks),
    )
