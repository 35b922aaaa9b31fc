"""From a model folder to a pipeline on its device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starflow_v.cli.common.memory import cache_storage
from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.settings import Wishes
from starflow_v.processes import this_process

if TYPE_CHECKING:
    import torch

    from starflow_v.pipelines.generation import GeneratingPipeline
    from starflow_v.vae import Codec


def embedded_model() -> Path:
    """The folder of the model that comes with the package."""
    from starflow_v import assets

    return assets.embedded_model()


def load_pipeline(
    folder: ModelFolder, wishes: Wishes, kind: type[GeneratingPipeline]
) -> GeneratingPipeline:
    """The model in `folder` as a pipeline, on the device, in the precision that is wished for."""
    import torch
    from diffusers.utils import logging

    from starflow_v import StarFlowModel

    logging.disable_progress_bar()
    if wishes.threads is not None:
        torch.set_num_threads(wishes.threads)
    device = find_device(wishes.device)
    dtype = wishes.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    pipe = _kind_for(folder, kind).from_pretrained(folder.path, torch_dtype=getattr(torch, dtype))
    pipe.set_progress_bar_config(disable=True)
    if wishes.kv_dtype is not None:
        if not isinstance(pipe.flow, StarFlowModel):
            raise ValueError("--kv-dtype is for flows; a model of flow matching keeps them plain")
        pipe.set_cache_storage(cache_storage(wishes.kv_dtype))
    return pipe.to(device)


def load_codec(folder: ModelFolder, device: str | None) -> Codec:
    """The VAE of the model in `folder`, in float32, and nothing else of it."""
    from starflow_v.checkpoints.parts import VAES
    from starflow_v.vae import codec_for

    vae = VAES[folder["vae"].kind].from_pretrained(folder.path / "vae")
    scale = folder.config.get("temporal_scale", 1.0)
    return codec_for(vae.eval().to(find_device(device)), temporal_scale=scale)


def _kind_for(folder: ModelFolder, kind: type[GeneratingPipeline]) -> type[GeneratingPipeline]:
    """The pipeline's class: flow matching has one of its own, for videos of words alone."""
    from starflow_v import StarFlowVFlowMatchingPipeline, StarFlowVPipeline

    if folder.kind != StarFlowVFlowMatchingPipeline.__name__:
        return kind
    if kind is not StarFlowVPipeline:
        raise ValueError(
            f"the model {folder.path} was trained by flow matching and makes videos of words "
            "alone: use `starflow-v generate`, or the model of a flow"
        )
    return StarFlowVFlowMatchingPipeline


def find_device(name: str | None) -> torch.device:
    """The device called `name`; for None the best there is, a GPU for each process."""
    import torch

    if name is None:
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        if cuda:
            return torch.device("cuda", this_process().local_index)
        return torch.device("mps" if mps else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here ({reason}); try cpu") from None
    return torch.device(name)
