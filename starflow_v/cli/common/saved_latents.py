"""The clean latents of a run, kept on the disk until its videos are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from starflow_v.cli.common.model_folder import ModelFolder
from starflow_v.cli.common.names import latents_path
from starflow_v.cli.common.planning import Target
from starflow_v.cli.common.settings import Settings

if TYPE_CHECKING:
    from starflow_v.pipelines.generation import GeneratingPipeline


@contextmanager
def saved_latents(
    pipe: GeneratingPipeline, batch: Sequence[Target], settings: Settings, folder: ModelFolder
) -> Iterator[None]:
    """Latents lie beside the first video while it is made; after a failure they stay.

    What Ctrl-C cuts short is no failure: its videos are whole.
    """
    from starflow_v.sampling.saved import LatentsWriter

    video = next(target.video for target in batch if target.video is not None)
    notes = {
        "frame_rate": str(settings.frame_rate),
        "model": str(folder.path.resolve()),
        "prompts": "\n".join(target.clip.prompt for target in batch),
    }
    with LatentsWriter(latents_path(video), notes) as writer:
        pipe.latents_sink = writer
        try:
            yield
        except Exception:
            writer.close()
            if writer.frames:
                typer.echo(
                    f"the latents of {writer.frames} frames are in {writer.path}; make a video of "
                    f"them by starflow-v decode {writer.path}",
                    err=True,
                )
            raise
        except KeyboardInterrupt:
            writer.discard()
            raise
        else:
            writer.discard()
        finally:
            pipe.latents_sink = None
