"""What a run will take, before it is started: memory, arithmetic and time, for any device.

Nothing is estimated by formula. The model is built without memory (on PyTorch's `meta` device) and
the real stages run on it, with a solver that measures an evaluation instead of iterating. A `Trace`
sees every operation: its FLOPs, the bytes it moves, and which tensors live at the same time.

    devices     what a device can do: FLOP/s, bytes/s, memory
    trace       what an operation costs
    blueprint   a model without weights
    schemes     how often a solver evaluates the model
    probe       what an evaluation takes
    stages      text, deep, shallow, denoise, decode: each traced
    placements  where weights are kept, and in which precision
    methods     ways to run, and what each needs
    report      the tables
"""

from starflow_v.planner.blueprint import Blueprint
from starflow_v.planner.devices import DEVICES, Device, free_memory, measure_cpu
from starflow_v.planner.methods import (
    EVERYTHING_ON_DEVICE,
    METHODS,
    Cache,
    Method,
    Need,
    memory_of,
    stages_of,
)
from starflow_v.planner.schemes import SCHEMES, Scheme, read_evaluations
from starflow_v.planner.stages import Job, Planner, StageCost

__all__ = [
    "DEVICES",
    "EVERYTHING_ON_DEVICE",
    "METHODS",
    "SCHEMES",
    "Blueprint",
    "Cache",
    "Device",
    "Job",
    "Method",
    "Need",
    "Planner",
    "Scheme",
    "StageCost",
    "free_memory",
    "measure_cpu",
    "memory_of",
    "read_evaluations",
    "stages_of",
]
