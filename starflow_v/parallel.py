"""One model on several devices.

    shard_weights     each process keeps a share of every layer and gathers a layer when it runs
    share_sequence    each process works on a share of the deep block's sequence

Both are for processes that do the same work: every one makes the same calls with the same tensors
and gets the same results. Both act through hooks, so solvers, predictors and pipelines know nothing
of them, and they may be combined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

from starflow_v.flow.starflow import StarFlowModel
from starflow_v.nn.attention import SelfAttention
from starflow_v.nn.rope import Rotary
from starflow_v.nn.transformer import TransformerLayer


def shard_weights(model: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the weights of every transformer layer among the processes of `mesh` (FSDP2).

    A layer's weights are whole only while it runs. What lies outside the layers (less than a
    hundredth of the released models) stays whole everywhere, where it is: move it by `model.to`.

    Args:
        model: a flow or a denoiser, on the CPU if a device could not hold all of it: the shares go
            to the mesh's devices layer by layer.
        mesh: one-dimensional.
    """
    layers = [module for module in model.modules() if isinstance(module, TransformerLayer)]
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)


def share_sequence(flow: StarFlowModel, mesh: DeviceMesh) -> None:
    """Divide the deep block's sequence among the processes of `mesh` (context parallelism).

    Between attentions a process holds its share of the slots; for an attention it holds its share
    of the heads, with all slots (the exchange of DeepSpeed-Ulysses, arXiv 2309.14509). So no mask
    changes, a triangle is divided evenly, and the cache of keys and values is divided too.

        slots --all to all--> heads, attention --all to all--> slots

    Any length and number of heads will do; divisible ones divide evenly. It pays for passes of many
    tokens: the teacher-forced pass, Jacobi's proposals. One token at a time only waits.

    Every process must compute the same loss. Gradients are such that their *mean* over the
    processes is the gradient, as data parallelism (DDP, FSDP2) takes it.

    Args:
        flow: its deep block is changed in place.
        mesh: one-dimensional.
    """
    transformer = flow.deep.block.transformer

    def divide(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *rest = args
        share = _exchange(x, x.shape, mesh, Replicate(), Shard(1))
        return _scale_gradient(share, 1 / mesh.size()), *rest

    def unite(_: nn.Module, args: tuple[Any, ...], share: Tensor) -> Tensor:
        shape = (share.shape[0], _length(args[1]), share.shape[2])
        return _scale_gradient(_exchange(share, shape, mesh, Shard(1), Replicate()), mesh.size())

    transformer.register_forward_pre_hook(divide)
    transformer.register_forward_hook(unite)
    for module in transformer.modules():
        if isinstance(module, SelfAttention):
            _share_heads(module, mesh)


def _share_heads(attention: SelfAttention, mesh: DeviceMesh) -> None:
    """Slots to heads before tokens meet, heads to slots after it."""

    def to_heads(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        q, k, v, rotary, *rest = args
        batch, heads, _, width = q.shape
        shape = (3, batch, heads, _length(rotary), width)
        return *_exchange(torch.stack((q, k, v)), shape, mesh, Shard(3), Shard(2)), rotary, *rest

    def to_slots(_: nn.Module, args: tuple[Any, ...], mixed: Tensor) -> Tensor:
        whole = (mixed.shape[0], attention.heads, *mixed.shape[2:])
        return _exchange(mixed, whole, mesh, Shard(1), Shard(2))

    attention.inner.register_forward_pre_hook(to_heads)
    attention.inner.register_forward_hook(to_slots)


def _exchange(
    share: Tensor, shape: Sequence[int], mesh: DeviceMesh, held: Placement, wanted: Placement
) -> Tensor:
    """This process' part of a tensor of that shape, divided in another way; differentiable."""
    share = share.contiguous()
    stride = torch.empty(shape, device="meta").stride()
    whole = DTensor.from_local(
        share, mesh, [held], run_check=False, shape=torch.Size(shape), stride=stride
    )
    return whole.redistribute(placements=[wanted]).to_local()


def _scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself, whose gradient will be multiplied."""
    if x.requires_grad:
        x.register_hook(lambda gradient: gradient * factor)
    return x


def _length(rotary: Rotary) -> int:
    """Slots of a pass, on all processes together."""
    return rotary.turn.shape[0]
