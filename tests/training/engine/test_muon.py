"""Muon: orthogonal steps for matrices, AdamW for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from starflow_v.training.engine.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3


def test_singular_vectors_stay() -> None:
    """The result is U p(S) Vᵀ: with equal singular values it is the matrix itself, scaled."""
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))
    result = orthogonalize(3.0 * rotation)
    scale = float((result * rotation).sum() / 5)
    torch.testing.assert_close(result, scale * rotation, atol=1e-5, rtol=0)


def test_other_parameters_follow_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.LayerNorm(4), nn.LayerNorm(4)
    mine = Muon(ours.parameters(), adam_lr=0.01, weight_decay=0.1)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(5):
        inputs = torch.randn(3, 4)
        for module, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            (module(inputs) - inputs.exp()).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-5)


def test_lowers_a_loss_with_kernels() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.SiLU(), nn.Conv3d(4, 2, 3, padding=1))
    optimizer = Muon(network.parameters(), lr=0.02)
    assert {len(group["params"]) for group in optimizer.param_groups} == {2}
    inputs = torch.randn(2, 2, 3, 4, 4)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = (network(inputs) - inputs).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
