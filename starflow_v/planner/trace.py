"""What operations cost, seen from below: every operation of PyTorch passes through a `Trace`.

On `meta` tensors nothing is computed and nothing allocated, so a model of any size can be traced in
seconds. Three things are counted:

- FLOPs: of products and convolutions (a multiplication with an addition counts two);
- bytes: what each operation reads and writes, as if none were fused;
- memory: a storage lives from the operation that makes it until the last tensor on it is gone.

Attention is one kernel that never writes its matrix out, as the fused kernels of CPUs and GPUs are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Work:
    """Arithmetic and traffic.

    Args:
        flops: additions and multiplications.
        moved: bytes read and written.
        kernels: operations started.
    """

    flops: float = 0.0
    moved: float = 0.0
    kernels: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flops + other.flops, self.moved + other.moved, self.kernels + other.kernels
        )

    def __mul__(self, times: float) -> Work:
        return Work(self.flops * times, self.moved * times, self.kernels * times)

    def __sub__(self, other: Work) -> Work:
        return self + other * -1


class Trace(TorchDispatchMode):
    """Counts what happens while it is active, see `tracing`."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()
        self.live = 0
        """Bytes of all storages made here that are still needed."""
        self.peak = 0
        """The most that `live` has been."""
        self._counted: dict[int, int] = {}
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not counted, nor are the storages made there."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def attend(self, *tensors: Tensor, flops: float) -> None:
        """Count a fused attention that reads and writes these tensors."""
        if not self._paused:
            self.work += Work(flops, sum(_size(tensor) for tensor in tensors), 1)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = {_key(tensor) for tensor in inputs}
        result = func(*args, **kwargs)
        if self._paused:
            return result
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        new = [tensor for tensor in made if _key(tensor) not in known]
        for tensor in new:
            self._hold(tensor)
        is_view = not new and not func._schema.is_mutable
        if not is_view and "empty" not in func.__name__:
            count = flop_registry.get(func._overloadpacket)
            flops = count(*args, **kwargs, out_val=result) if count else 0
            self.work += Work(flops, sum(_size(tensor) for tensor in [*inputs, *new]), 1)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key not in self._counted:
            self._counted[key] = storage.nbytes()
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.live -= self._counted.pop(key)


class _FusedAttention(TorchFunctionMode):
    """Takes the place of `scaled_dot_product_attention` where no gradient is wanted."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        fused = func is torch.nn.functional.scaled_dot_product_attention
        if not fused or torch.is_grad_enabled():
            return func(*args, **kwargs)
        query, key, value = args[:3]
        mixed = torch.empty_like(query)
        triangle = 0.5 if kwargs.get("is_causal") else 1.0
        flops = 4 * query.numel() * key.shape[-2] * triangle
        self._trace.attend(query, key, value, mixed, flops=flops)
        return mixed


@contextmanager
def tracing() -> Iterator[Trace]:
    """A trace of all that runs inside."""
    trace = Trace()
    with trace, _FusedAttention(trace):
        yield trace


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _size(tensor: Tensor) -> int:
    """Bytes that reading the tensor moves; one that is expanded is read from what it really has."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
