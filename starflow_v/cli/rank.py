"""`starflow-v rank`: which caption explains a video best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common import scoring
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.prompt_file import read_prompts
from starflow_v.cli.common.scoring import plus_minus

if TYPE_CHECKING:
    from starflow_v.pipelines.scores import Ranking

Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="A file: the clip.")]
Prompts = Annotated[
    Path, typer.Option(metavar="FILE", help="The captions: a text file with one a line.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Captions scored side by side.")]


@reports_failures
def rank(
    video: Video,
    prompts: Prompts,
    json: scoring.Json = None,
    draws: scoring.Draws = 4,
    seed: scoring.Seed = 0,
    height: scoring.Height = None,
    width: scoring.Width = None,
    fps: scoring.Fps = None,
    batch_size: BatchSize = 8,
    model: opt.Model = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    overwrite: opt.Overwrite = False,
    debug: Debug = False,
) -> None:
    """Tell which of the captions explains VIDEO best, and how probable each is.

    All captions are scored under the same noise, so differences are far surer than the scores.
    The probability is that of a caption if all of them were equally probable before.
    """
    captions = list(dict.fromkeys(read_prompts(prompts)))
    if len(captions) < 2:
        raise ValueError(f"{prompts} holds one caption; expected at least 2 different ones")
    scoring.check_inputs([video], {"--json": json}, overwrite=overwrite, texts=[prompts])
    pipe = scoring.load_scorer(model, device, dtype)
    import torch

    given = scoring.read_given(pipe, video, height=height, width=width, fps=fps)
    ranking = pipe.rank(
        given.frames,
        captions,
        draws=draws,
        generator=torch.Generator().manual_seed(seed),
        batch_size=batch_size,
        height=given.height,
        width=given.width,
        frame_rate=given.frame_rate,
    )
    typer.echo(given.describe())
    rows = _rows(ranking)
    typer.echo("  probability  bits per dimension  behind the best    caption")
    for row in rows:
        behind = plus_minus(row["behind"], row["behind_error"]) if row is not rows[0] else ""
        bits = plus_minus(row["bits"], row["error"])
        typer.echo(f"  {row['probability']:11.4f}  {bits:<20}{behind:<19}{row['prompt']}")
    if json is not None:
        facts = {"video": str(video), "draws": draws, "seed": seed, "captions": rows}
        scoring.write_json(json, {"model": str(pipe.name_or_path), **facts})


def _rows(ranking: Ranking) -> list[dict[str, Any]]:
    """The captions with their numbers, the best first."""
    behind, errors = ranking.behind.tolist(), ranking.behind_errors.tolist()
    posterior = ranking.posterior.tolist()
    return [
        {
            "prompt": ranking.prompts[place],
            "probability": posterior[place],
            "bits": ranking.scores[place].bits,
            "error": ranking.scores[place].error,
            "behind": behind[place],
            "behind_error": errors[place],
        }
        for place in ranking.order
    ]
