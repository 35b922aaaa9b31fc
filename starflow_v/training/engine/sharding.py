"""Parameters, gradients and optimizer states shared out among processes (torch's FSDP2).

Each process keeps a slice of every tensor. A layer is put together when it computes, and taken
apart again, so that a model may be larger than one device. What comes out is what one process
computes: precision stays the business of autocast.
"""

from __future__ import annotations

import copy

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer


def shard(module: nn.Module, optimizer: Optimizer, mesh: DeviceMesh) -> nn.Module:
    """A copy of `module` in slices, on the mesh's devices, which `optimizer` trains from now on.

    Layers of the classes in `_no_split_modules`, as diffusers and transformers call it, are units
    of their own; the rest is one unit. The module itself stays whole, to be sampled from.
    """
    sliced = copy.deepcopy(module).to(mesh.device_type)
    units = tuple(getattr(module, "_no_split_modules", None) or ())
    for layer in sliced.modules():
        if type(layer).__name__ in units:
            fully_shard(layer, mesh=mesh)
    fully_shard(sliced, mesh=mesh)
    names = {parameter: name for name, parameter in module.named_parameters()}
    slices = dict(sliced.named_parameters())
    for group in optimizer.param_groups:
        group["params"] = [slices[names[parameter]] for parameter in group["params"]]
    return sliced
