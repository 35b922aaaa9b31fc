"""How often a solver evaluates the model: passes over the tokens, and tokens in an evaluation.

    evaluations of a block = passes · tokens / span

Passes depend on the weights and on the solver, so they can only be measured. Those here are of the
benchmark model; a file of `starflow-v benchmark` or numbers of one's own take their place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a solver spends on a block.

    Args:
        passes: how often each token is evaluated.
        span: tokens in an evaluation, at most; the planner cuts it at the end of a frame.
    """

    passes: float
    span: int

    def __post_init__(self) -> None:
        if not self.passes >= 1 or self.span < 1:
            raise ValueError(
                f"passes={self.passes} with a span of {self.span}: expected at least 1 of each"
            )


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A solver, as far as its cost is concerned.

    Args:
        name: what tables call it.
        deep: its effort in the deep block.
        shallow: its effort in each shallow block.
        source: where the numbers come from.
    """

    name: str
    deep: Effort
    shallow: Effort
    source: str


_COUNTED = (
    "counted on the benchmark model (448 tokens a frame, guidance 3.5; benchmarks/planner_check.py)"
    "; other weights need other numbers"
)

SEQUENTIAL = Scheme(
    name="sequential",
    deep=Effort(passes=1, span=1),
    shallow=Effort(passes=1, span=1),
    source="exact: one token an evaluation",
)
PAPER = Scheme(
    name="paper",
    deep=Effort(passes=14.9, span=192),
    shallow=Effort(passes=3.3, span=64),
    source=f"Jacobi, mean rule 1e-3, blocks of 512 and 64 tokens: {_COUNTED}",
)
OURS = Scheme(
    name="ours",
    deep=Effort(passes=6.7, span=106),
    shallow=Effort(passes=3.5, span=86),
    source=f"a sliding window of 112 tokens, residual 1e-3: {_COUNTED}",
)
SCHEMES = {scheme.name: scheme for scheme in (SEQUENTIAL, PAPER, OURS)}


def read_evaluations(path: Path) -> list[Scheme]:
    """The schemes measured in a file of `starflow-v benchmark`, one a row of its results.

    A row says `solver`, `guidance`, and `evaluations` and `passes` of both halves; the settings
    say `tokens_per_frame`, `latent_frames` and `shallow_blocks` of the video they were counted on.
    """
    try:
        content = json.loads(path.read_text("utf-8").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        content = _whole_file(path)
    try:
        settings, rows = content["settings"], content["results"]
        rows = rows["rows"] if isinstance(rows, dict) else rows
        return [_scheme_of(row, settings, path) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no evaluation counts ({error} is missing); expected the JSON line of "
            "`starflow-v benchmark`"
        ) from None


def _whole_file(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error})") from None


def _scheme_of(row: dict[str, Any], settings: dict[str, Any], path: Path) -> Scheme:
    frame, blocks = settings["tokens_per_frame"], settings["shallow_blocks"]
    tokens = {"deep": frame * settings["latent_frames"], "shallow": frame}
    efforts = {}
    for half, repeats in (("deep", 1), ("shallow", blocks)):
        passes, evaluations = row["passes"][half], row["evaluations"][half]
        span = max(1, round(passes * tokens[half] / max(1, evaluations)))
        efforts[half] = Effort(passes=max(1.0, passes / max(1, repeats)), span=span)
    told = f", guidance {row['guidance']:g}" if "guidance" in row else ""
    return Scheme(name=f"{row['solver']}{told}", **efforts, source=f"measured: {path.name}")
