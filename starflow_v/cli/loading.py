"""From a model folder to a pipeline on its device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from starflow_v.cli.model_folder import ModelFolder
from starflow_v.cli.settings import Wishes

if TYPE_CHECKING:
    import torch

    from starflow_v.pipelines.text_to_video import StarFlowVPipeline


def embedded_model() -> Path:
    """The folder of the model that comes with the package."""
    from starflow_v import assets

    return assets.embedded_model()


def load_pipeline(folder: ModelFolder, wishes: Wishes) -> StarFlowVPipeline:
    """The pipeline in `folder`, with the device, precision and threads that are wished for."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import torch
    from diffusers.utils import logging

    from starflow_v import StarFlowVPipeline

    logging.disable_progress_bar()
    if wishes.threads is not None:
        torch.set_num_threads(wishes.threads)
    device = _device(wishes.device)
    dtype = wishes.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    pipe = StarFlowVPipeline.from_pretrained(folder.path, torch_dtype=getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def _device(name: str | None) -> torch.device:
    """The device called `name`; the best there is for None."""
    import torch

    if name is None:
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here ({reason}); try cpu") from None
    return torch.device(name)
