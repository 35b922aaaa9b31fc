"""STARFlow-V: video from normalizing flows.

Public names are imported when they are first used, so that `import starflow_v` costs nothing.
`ModelMixin` and the tokenizer's base are here because diffusers looks for the base class of a saved
component in the package that its index names.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "StarFlowModel": "starflow_v.flow.starflow",
    "FlowOutput": "starflow_v.flow.starflow",
    "Solution": "starflow_v.flow.starflow",
    "AffineParams": "starflow_v.flow.affine",
    "DensityGuidance": "starflow_v.flow.guidance",
    "SequentialSolver": "starflow_v.flow.solver",
    "JacobiSolver": "starflow_v.flow.solver",
    "ContextWindow": "starflow_v.flow.window",
    "CausalDenoiser": "starflow_v.denoiser",
    "ScoreDenoiser": "starflow_v.denoiser",
    "PatchCodec": "starflow_v.vae",
    "StarFlowVPipeline": "starflow_v.pipelines.text_to_video",
    "StarFlowVPipelineOutput": "starflow_v.pipelines.text_to_video",
    "ModelMixin": "diffusers",
}

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
