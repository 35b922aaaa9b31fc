"""`starflow-v decode`: a video from the latents that a run left which failed while decoding."""

from pathlib import Path
from typing import Annotated

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.loading import embedded_model, load_codec
from starflow_v.cli.common.model_folder import read_model_folder
from starflow_v.cli.common.names import LATENTS_SUFFIX

Latents = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="What the run left: NAME.latents.safetensors."),
]


@reports_failures
def decode(
    latents: Latents,
    output: opt.Output = None,
    model: opt.Model = None,
    device: opt.Device = None,
    overwrite: opt.Overwrite = False,
    debug: Debug = False,
) -> None:
    """Decode saved latents into a video (or, of a batch, several); FILE stays.

    Only the VAE is loaded, so this fits where the whole model does not.
    """
    import torch

    from starflow_v.data.pixels import to_clips
    from starflow_v.data.video_io import VideoWriter
    from starflow_v.sampling.saved import read_latents

    clean, notes = read_latents(latents)
    recorded = Path(notes.get("model", ""))
    folder = read_model_folder(
        model or (recorded if (recorded / "model_index.json").is_file() else embedded_model())
    )
    codec = load_codec(folder, device)
    first = output or latents.with_name(latents.name.removesuffix(LATENTS_SUFFIX) + ".mp4")
    place = next(codec.vae.parameters()).device
    for index, video in enumerate(clean):
        path = first if len(clean) == 1 else first.with_stem(f"{first.stem}-{index}")
        hidden = int(notes.get("hidden", 0))
        with (
            torch.no_grad(),
            VideoWriter(path, fps=float(notes["frame_rate"]), overwrite=overwrite) as writer,
        ):
            pieces = (frame[None, None].to(place) for frame in video)
            for frames in codec.decode_stream(pieces):
                shown = to_clips(frames[:, hidden:])[0]
                hidden = max(0, hidden - frames.shape[1])
                if len(shown):
                    writer.write(shown)
        typer.echo(f"{path}: {writer.frames_written} frames")
