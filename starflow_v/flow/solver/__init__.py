"""Solvers: from noise to tokens, x = shift(x_<) + scale(x_<) · z, with a predictor.

The equation is triangular, so one walk over the tokens solves it exactly (`sequential`). It is also
a fixed point: a guess of many tokens, put into the right-hand side again and again, comes to stand
still, and every sweep makes at least one more group exact. `jacobi` sweeps over fixed blocks of
tokens, as STARFlow-V does; `sliding` over a window that moves on with every token that stands and
from frame to frame, which is the solver of choice: `front` is what it does in a sweep, `secant`
what one sweep teaches for the next.
"""

from starflow_v.flow.solver.cost import Cost, Solver
from starflow_v.flow.solver.frame_by_frame import FrameByFrame
from starflow_v.flow.solver.jacobi import JacobiSolver
from starflow_v.flow.solver.place import solve_at, solve_frames_at
from starflow_v.flow.solver.sequential import SequentialSolver
from starflow_v.flow.solver.sliding import SlidingSolver

__all__ = [
    "Cost",
    "FrameByFrame",
    "JacobiSolver",
    "SequentialSolver",
    "SlidingSolver",
    "Solver",
    "solve_at",
    "solve_frames_at",
]
