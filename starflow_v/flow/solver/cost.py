"""What every solver is asked, and what it says of its work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from starflow_v.flow.predictor import Predictor

NOT_FINITE = (
    "tokens became NaN or infinite: look for such values in the noise, the text, the prefix and "
    "the weights; a model in float16 may overflow, bfloat16 and float32 do not"
)
"""What a solver says that cannot go on."""


@dataclass(frozen=True)
class Cost:
    """What solving took.

    Args:
        evaluations: calls of the network, one after the other (a guided call counts once).
        tokens: tokens evaluated, per sample.
        residual: how far from solved the worst token was left, in the solver's own measure; 0 if
            solved exactly.
        converged: whether that is within the tolerance: no cap on sweeps was hit.
    """

    evaluations: int = 0
    tokens: int = 0
    residual: float = 0.0
    converged: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.evaluations + other.evaluations,
            self.tokens + other.tokens,
            max(self.residual, other.residual),
            self.converged and other.converged,
        )


class Solver(Protocol):
    """Turns noise into tokens."""

    def solve(
        self, predictor: Predictor, noise: Tensor, *, guess: Tensor | None = None
    ) -> tuple[Tensor, Cost]:
        """Solve for the next tokens and commit them.

        Args:
            predictor: the block, standing before the tokens asked for.
            noise: z, (B, S, C).
            guess: a first guess of the tokens, (B, S, C); `None` at the start of a sequence.

        Returns:
            The tokens (B, S, C), and what they cost.

        Raises:
            FloatingPointError: if it sees tokens become NaN or infinite; stages look once more.
        """

    def solve_frames(
        self, predictor: Predictor, noise: Iterable[Tensor], *, guess: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Cost]]:
        """The same of one frame after the other, each handed out as soon as it stands.

        Args:
            predictor: the block, standing before the first frame.
            noise: frames of z, (B, S, C) each, all of one size. A solver may take one ahead, and
                asks until there are no more.
            guess: a first guess of the first frame; the others have those before them.

        Yields:
            The tokens of each frame (B, S, C), and what they cost.
        """
