"""What PyTorch keeps for each thread: `no_grad`, autocast, the CUDA stream."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ThreadModes:
    """Those of a thread, since a new one does not inherit them."""

    device: torch.device
    grad: bool
    inference: bool
    autocast: bool
    autocast_dtype: torch.dtype
    autocast_cache: bool

    @classmethod
    def here(cls, device: torch.device) -> ThreadModes:
        """Those of this thread."""
        return cls(
            device=device,
            grad=torch.is_grad_enabled(),
            inference=torch.is_inference_mode_enabled(),
            autocast=torch.is_autocast_enabled(device.type),
            autocast_dtype=torch.get_autocast_dtype(device.type),
            autocast_cache=torch.is_autocast_cache_enabled(),
        )

    def entered(self, stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
        """The same in this thread, on a CUDA stream if there is one."""
        stack = ExitStack()
        stack.enter_context(torch.inference_mode(self.inference))
        stack.enter_context(torch.set_grad_enabled(self.grad))
        stack.enter_context(
            torch.autocast(
                self.device.type,
                dtype=self.autocast_dtype,
                enabled=self.autocast,
                cache_enabled=self.autocast_cache,
            )
        )
        if stream is not None:
            stack.enter_context(torch.cuda.device(self.device))
            stack.enter_context(torch.cuda.stream(stream))
        return stack
