"""`starflow-v score`: how well the model expects videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starflow_v.cli.common import options as opt
from starflow_v.cli.common import scoring
from starflow_v.cli.common.failures import Debug, reports_failures
from starflow_v.cli.common.scoring import Given, plus_minus

if TYPE_CHECKING:
    from starflow_v.pipelines.scores import Score

Videos = Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Files: the clips.")]
Prompt = Annotated[str, typer.Option(help="What the videos show.")]
HeatMap = Annotated[
    Path | None,
    typer.Option(
        "--heatmap", metavar="PNG", help="Paint where the bits are over the frames of one video."
    ),
]
BAR = 24
"""The longest bar of a curve, in characters."""
SHOWN_WIDTH = 128
"""Pixels that a frame of the heat map has at least, about."""


@reports_failures
def score(
    videos: Videos,
    prompt: Prompt,
    json: scoring.Json = None,
    heatmap: HeatMap = None,
    draws: scoring.Draws = 4,
    seed: scoring.Seed = 0,
    height: scoring.Height = None,
    width: scoring.Width = None,
    fps: scoring.Fps = None,
    model: opt.Model = None,
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    overwrite: opt.Overwrite = False,
    debug: Debug = False,
) -> None:
    """Tell how well the model expects each VIDEO: bits per latent dimension, frame by frame.

    The bits are those of the latents with noise added, as the model is trained; fewer are better.
    Frame t is scored given the frames before it. docs/likelihood.md says more.
    """
    if heatmap is not None and heatmap.suffix.lower() != ".png":
        raise ValueError(f"--heatmap {heatmap}: expected a name that ends in .png")
    if heatmap is not None and len(videos) > 1:
        raise ValueError(f"--heatmap is a picture of one video; {len(videos)} were given")
    scoring.check_inputs(videos, {"--json": json, "--heatmap": heatmap}, overwrite=overwrite)
    pipe = scoring.load_scorer(model, device, dtype)
    rows: list[dict[str, Any]] = []
    facts = {"prompt": prompt, "draws": draws, "seed": seed, "videos": rows}
    try:
        for video in videos:
            given = scoring.read_given(pipe, video, height=height, width=width, fps=fps)
            made = scoring.score_given(pipe, given, prompt, draws=draws, seed=seed)
            rows.append(_row(given, made))
            typer.echo(_table(given, made, pipe.codec.temporal_factor))
            if heatmap is not None:
                _paint(heatmap, given, made, overwrite=overwrite)
    finally:  # one that cannot be read does not take the others with it
        if json is not None and rows:
            scoring.write_json(json, {"model": str(pipe.name_or_path), **facts})


def _table(given: Given, made: Score, factor: int) -> str:
    """The total, and a line with a bar for each latent frame."""
    frames = list(zip(made.frame_bits.tolist(), made.frame_errors.tolist(), strict=True))
    low, high = min(bits for bits, _ in frames), max(bits for bits, _ in frames)
    lines = [given.describe(), f"  bits per latent dimension  {plus_minus(made.bits, made.error)}"]
    for number, (bits, error) in enumerate(frames):
        seconds = max(0, (number - 1) * factor + 1) / given.frame_rate
        share = (bits - low) / (high - low) if high > low else 0.0
        bar = "#" * (1 + round(share * (BAR - 1)))
        lines.append(f"  frame {number:<4}{seconds:7.2f} s  {plus_minus(bits, error):<20}{bar}")
    return "\n".join(lines)


def _row(given: Given, made: Score) -> dict[str, Any]:
    """Everything about one video, for programs."""
    return {
        "path": str(given.path),
        "frames": len(given.frames),
        "height": given.height,
        "width": given.width,
        "frame_rate": given.frame_rate,
        "dimensions": made.draws[0].numel() * made.dimensions,
        "bits": made.bits,
        "error": made.error,
        "log_prob": float(made.log_probs.mean()),
        "frame_bits": made.frame_bits.tolist(),
        "frame_errors": made.frame_errors.tolist(),
        "token_bits": made.token_bits.tolist(),
    }


def _paint(path: Path, given: Given, made: Score, *, overwrite: bool) -> None:
    """The frames, and the same under a heat map of their tokens."""
    from starflow_v.data.contact_sheet import contact_sheet
    from starflow_v.data.video_io import VideoWriter
    from starflow_v.evaluation.heat_map import heat_map

    painted = heat_map(given.frames, made.token_bits.numpy())
    scale = max(1, SHOWN_WIDTH // given.width)
    sheet = contact_sheet(
        [given.frames, painted], ["video", "bits: blue few, red many"], scale=scale
    )
    with VideoWriter(path, fps=1, overwrite=overwrite) as writer:
        writer.write(sheet[None])
