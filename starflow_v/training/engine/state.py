"""The tensors of a network and of its optimizer by parameter name, whole, wherever their shards
live.

Parameter names, unlike an optimizer's numbering, survive a change in the order of parameters;
tensors that are tied are stored once. Under FSDP2 parameters are `DTensor`s: they are gathered when
saved and cut up again when loaded.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

SEPARATOR = "|"
"""Between a parameter's name and the name of one of its optimizer's tensors."""


def module_state(module: nn.Module, *, only_trained: bool = False) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, each tensor once, on the CPU; or only the parameters
    that are trained."""
    return {name: whole(value) for name, value in _each_once(module, only_trained).items()}


@torch.no_grad()
def restore_module(
    module: nn.Module, saved: Mapping[str, Tensor], *, only_trained: bool = False
) -> None:
    """Copy saved tensors into the module; another set of names or shapes is refused."""
    own = _each_once(module, only_trained)
    for name in own.keys() ^ saved.keys():
        side = "lacks" if name in own else "has, unlike the model,"
        raise ValueError(f"the checkpoint {side} {name!r}: it belongs to another configuration")
    for name, value in own.items():
        if value.shape != saved[name].shape:
            raise ValueError(
                f"{name!r} has the shape {tuple(saved[name].shape)} in the checkpoint and "
                f"{tuple(value.shape)} in the model: it belongs to another configuration"
            )
        value.copy_(like(saved[name], value))


def optimizer_state(optimizer: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimizer's tensors as `parameter|tensor`, on the CPU."""
    return {
        f"{name}{SEPARATOR}{key}": whole(value)
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: Optimizer, module: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Give the optimizer its saved tensors; parameters it had none for start afresh. Tensors of
    another kind of optimizer are refused."""
    parameters = dict(module.named_parameters())
    _check_slots(optimizer, parameters, saved)
    optimizer.state.clear()
    for key, value in saved.items():
        name, _, slot = key.rpartition(SEPARATOR)
        if name not in parameters:
            raise ValueError(f"the checkpoint's optimizer knows {name!r}, the model does not")
        parameter = parameters[name]
        fits = (
            value.shape == parameter.shape and slot != "step"
        )  # optimizers keep step counts on the CPU
        optimizer.state[parameter][slot] = (like(value, parameter) if fits else value).clone()


def _check_slots(
    optimizer: Optimizer, parameters: Mapping[str, Tensor], saved: Mapping[str, Tensor]
) -> None:
    """A `ValueError` if an optimizer of this kind does not remember what is saved."""
    held: dict[str, set[str]] = {}
    for key in saved:
        name, _, slot = key.rpartition(SEPARATOR)
        held.setdefault(name, set()).add(slot)
    for group in optimizer.param_groups:
        slots = _slots(optimizer, group)
        trained = {id(parameter) for parameter in group["params"]}
        for name, parameter in parameters.items():
            if id(parameter) in trained and held.get(name, slots) != slots:
                raise ValueError(
                    f"the checkpoint was trained by another optimizer: of {name!r} it has "
                    f"{', '.join(sorted(held[name]))}, and this run's {type(optimizer).__name__} "
                    f"needs {', '.join(sorted(slots))}: keep muon_lr as it was, or choose another "
                    "folder"
                )


def _slots(optimizer: Optimizer, group: Mapping[str, Any]) -> set[str]:
    """Names of what an optimizer remembers of a parameter in this group, found by one step of a
    copy on a small matrix."""
    matrix = nn.Parameter(torch.zeros(2, 2))
    matrix.grad = torch.zeros(2, 2)
    trial = copy.copy(optimizer)
    trial.state = defaultdict(dict)
    trial.param_groups = [{**group, "params": [matrix]}]
    trial.step()
    return set(trial.state[matrix])


def whole(value: Tensor) -> Tensor:
    """A tensor gathered from its shards, detached, on the CPU."""
    return gather(value).detach().cpu()


def gather(value: Tensor) -> Tensor:
    """A tensor put together from its shards, on its device."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, other: Tensor) -> Tensor:
    """A whole tensor on the device and in the shards of another one."""
    if isinstance(other, DTensor):
        return distribute_tensor(value.to(other.device), other.device_mesh, other.placements)
    return value.to(other.device)


def fitting(value: Tensor, other: Tensor) -> Tensor:
    """A tensor, whole or in shards, as the other one is."""
    if isinstance(value, DTensor) == isinstance(other, DTensor):
        return value
    return like(gather(value), other)


def _each_once(module: nn.Module, only_trained: bool) -> dict[str, Tensor]:
    """The module's state dict without second names of one tensor, or the trained part of it."""
    seen: set[int] = set()
    unique: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in seen and (value.requires_grad or not only_trained):
            seen.add(id(value))
            unique[name] = value
    return unique
