"""A checkpoint of the released layout -> the folder of a pipeline, whatever their size.

Everything is checked before anything is written: keys and shapes against the model on meta, VAE and
text encoder against the flow, the space on the disk. Then tensors go from file to file one by one.
The folder takes its name in one rename at the end: what bears it is whole.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from starflow_v.checkpoints.description import ModelDescription
from starflow_v.checkpoints.distributed import DistributedSource
from starflow_v.checkpoints.names import names_of
from starflow_v.checkpoints.parts import Part, find_tokenizer, text_encoder_part, vae_part
from starflow_v.checkpoints.reading import PickleSource, Renamed, SafetensorsSource, TensorSource
from starflow_v.checkpoints.released import check_keys
from starflow_v.checkpoints.writing import total_bytes, write_weights
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel
from starflow_v.pipelines.text_to_video import StarFlowVPipeline
from starflow_v.text import Tokenizer
from starflow_v.text.pretrained import text_width
from starflow_v.vae import codec_for

SHARD_BYTES = 2 * 10**9
"""Bytes of tensors in one file."""
MARGIN = 64 * 2**20
"""Bytes that must be free beside the weights, for configurations and the like."""
FIRST_KEY = re.compile(r"((?:.*\.)?)blocks\.0\.sos_embed")
"""A key that every released model has, and what stands in front of it in other dictionaries."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a pipeline needs beside flow and denoiser; `None`: it is left out.

    Each is a local folder or a hub id, of the component itself or of a pipeline that has it.
    """

    vae: str | None = None
    """A VAE in diffusers' form."""
    text_encoder: str | None = None
    """A text encoder in transformers' form."""
    tokenizer: str | None = None
    """Its tokenizer; `None`: the one beside the text encoder."""


def convert_checkpoint(
    checkpoint: Path,
    description: ModelDescription,
    output: Path,
    *,
    dtype: torch.dtype | None = None,
    surroundings: Surroundings | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write the pipeline of a released checkpoint into `output`, for `from_pretrained`.

    Args:
        checkpoint: a file of `torch.save`, `.safetensors`, or a distributed checkpoint's folder.
        description: the networks in it and what they were trained for.
        output: a new folder. It appears when it is whole.
        dtype: of flow, denoiser and text encoder; `None`: as they are. The VAE stays as it is.
        surroundings: VAE, text encoder and tokenizer.
        shard_bytes: bytes of tensors in one file.

    Raises:
        ValueError: if the checkpoint cannot be read or does not fit its description, or a component
            does not fit the flow.
        OSError: if the disk is too small.
    """
    _refuse_taken(output)
    parts, tokenizer = _collect(checkpoint, description, dtype, surroundings or Surroundings())
    _check_space(output, sum(total_bytes(part.layout) for part in parts.values()))
    components = {name: part.model for name, part in parts.items()} | {"tokenizer": tokenizer}
    absent = dict.fromkeys(("denoiser", "vae", "text_encoder"))
    pipeline = StarFlowVPipeline(**(absent | components), **description.settings())
    with _whole_or_absent(output) as folder:
        for name, part in parts.items():
            write_weights(
                folder / name, part.stem, part.layout, part.source.read, limit=shard_bytes
            )
            part.write_config(folder / name)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder / "tokenizer")
        pipeline.save_config(folder)
    return output


def open_source(path: Path) -> TensorSource:
    """The tensors of a checkpoint: a file, or the folder of a distributed checkpoint.

    Raises:
        ValueError: if there is none, it is cut off, or it holds more than tensors.
    """
    if path.is_dir():
        return DistributedSource(path)
    if not path.is_file():
        raise ValueError(f"there is no checkpoint at {path}")
    return SafetensorsSource([path]) if path.suffix == ".safetensors" else PickleSource(path)


def _collect(
    checkpoint: Path,
    description: ModelDescription,
    dtype: torch.dtype | None,
    surroundings: Surroundings,
) -> tuple[dict[str, Part], Tokenizer | None]:
    """All that goes into the folder, checked."""
    source = open_source(checkpoint)
    prefix = _prefix(checkpoint, source)
    given = {name.removeprefix(prefix): name for name in source.tensors if name.startswith(prefix)}
    released = Renamed(source, given)
    flow, denoiser = description.models()
    models: dict[str, StarFlowModel | CausalDenoiser] = {"flow": flow}
    if denoiser is not None:
        models["denoiser"] = denoiser
    check_keys(released.tensors, list(models.values()))
    parts = {
        name: Part(model=model, source=Renamed(released, names_of(model)), dtype=dtype)
        for name, model in models.items()
    }
    if surroundings.vae is not None:
        parts["vae"] = vae_part(surroundings.vae)
        _check_channels(parts["vae"], flow)
    if surroundings.text_encoder is None:
        if surroundings.tokenizer is not None:
            raise ValueError("a tokenizer is of no use without a text encoder: give both")
        return parts, None
    parts["text_encoder"] = text_encoder_part(surroundings.text_encoder, dtype=dtype)
    _check_width(parts["text_encoder"], flow)
    return parts, find_tokenizer(surroundings.tokenizer or surroundings.text_encoder)


def _prefix(checkpoint: Path, source: TensorSource) -> str:
    """What stands in front of the released names where the state dict lies inside another one."""
    prefixes = [match[1] for name in source.tensors if (match := FIRST_KEY.fullmatch(name))]
    if len(prefixes) > 1:
        raise ValueError(
            f"{checkpoint} holds several models ({', '.join(prefixes)}): save the one that is "
            "wanted by itself"
        )
    return prefixes[0] if prefixes else ""


def _check_channels(vae: Part, flow: StarFlowModel) -> None:
    channels, expected = codec_for(vae.model).channels, flow.config["in_channels"]
    if channels != expected:
        raise ValueError(f"the VAE has {channels} latent channels, the flow needs {expected}")


def _check_width(text_encoder: Part, flow: StarFlowModel) -> None:
    width, expected = text_width(text_encoder.model), flow.config["text_dim"]
    if width != expected:
        raise ValueError(
            f"the text encoder's embeddings are {width} wide, the flow needs {expected}"
        )


def _refuse_taken(output: Path) -> None:
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists():
        raise ValueError(f"{output} is there already: give a new folder")


def _check_space(output: Path, size: int) -> None:
    place = next(folder for folder in output.absolute().parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < size + MARGIN:
        raise OSError(
            f"the disk is too small: {output} needs {_gigabytes(size + MARGIN)}, and {place} has "
            f"{_gigabytes(free)} left. Nothing was written; make room, choose another place, or a "
            "smaller dtype"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


@contextmanager
def _whole_or_absent(output: Path) -> Iterator[Path]:
    """A folder beside `output` that takes its name at the end, or vanishes.

    What is left of a conversion that was killed is removed by the next one.
    """
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if output.exists():
            output.rmdir()
        partial.rename(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
