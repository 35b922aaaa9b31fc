"""`starflow-v convert`: a released checkpoint as a folder for `from_pretrained`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.options import DtypeName

Checkpoint = Annotated[
    Path,
    typer.Argument(help="A .pth or .safetensors, or the folder of a distributed checkpoint."),
]
Config = Annotated[
    Path,
    typer.Option(
        "--config",
        metavar="YAML",
        help="What the model is, such as configs/starflow_v_7b_480p.yaml.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Where to: a new folder.")
]
Dtype = Annotated[
    DtypeName | None,
    typer.Option(help="Precision of flow, denoiser and text encoder; default: as it is."),
]
Vae = Annotated[str | None, typer.Option(help="A VAE in diffusers' form: a folder or a hub id.")]
TextEncoder = Annotated[
    str | None, typer.Option(help="A text encoder and its tokenizer: a folder or a hub id.")
]
TokenizerPlace = Annotated[
    str | None, typer.Option("--tokenizer", help="Default: the one beside the text encoder.")
]


@reports_failures
def convert(
    checkpoint: Checkpoint,
    config: Config,
    output: Output,
    dtype: Dtype = None,
    vae: Vae = None,
    text_encoder: TextEncoder = None,
    tokenizer: TokenizerPlace = None,
    debug: Debug = False,
) -> None:
    """Write the model of a released checkpoint as a folder that from_pretrained reads.

    Only tensors are read: code in a pickle is refused, never run.
    """
    import torch

    from starflow_v.checkpoints.description import read_description
    from starflow_v.checkpoints.folder import Surroundings, convert_checkpoint

    convert_checkpoint(
        checkpoint,
        read_description(config),
        output,
        dtype=None if dtype is None else getattr(torch, dtype.value),
        surroundings=Surroundings(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer),
    )
    typer.echo(f"written: {output}")
    if missing := absent(vae, text_encoder):
        typer.echo(missing)


def absent(vae: str | None, text_encoder: str | None) -> str | None:
    """What a folder without VAE or text encoder lacks, and how it can be used; None: nothing."""
    lacks = [
        f"no {name} ({option})"
        for name, option, given in (
            ("VAE", "--vae", vae),
            ("text encoder", "--text-encoder", text_encoder),
        )
        if given is None
    ]
    if not lacks:
        return None
    return (
        f"it has {' and '.join(lacks)}: convert again with one, or hand it to "
        "StarFlowVPipeline.from_pretrained; the flow and the denoiser are whole"
    )
