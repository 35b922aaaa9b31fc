"""STARFlow-V: video from normalizing flows.

Public names are imported when they are first used, so that `import starflow_v` costs nothing; type
checkers read the imports below. `ModelMixin` is here because diffusers looks for the base class of
a saved component in the package that its index names.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import ModelMixin as ModelMixin

    from starflow_v.assets import digits_model as digits_model
    from starflow_v.assets import embedded_model as embedded_model
    from starflow_v.baselines.causal_velocity import CausalVelocityModel as CausalVelocityModel
    from starflow_v.baselines.pipeline import (
        StarFlowVFlowMatchingPipeline as StarFlowVFlowMatchingPipeline,
    )
    from starflow_v.denoiser import CausalDenoiser as CausalDenoiser
    from starflow_v.denoiser import ScoreDenoiser as ScoreDenoiser
    from starflow_v.flow.affine import AffineParams as AffineParams
    from starflow_v.flow.guidance import DensityGuidance as DensityGuidance
    from starflow_v.flow.guidance import EachVideo as EachVideo
    from starflow_v.flow.guidance import Guidance as Guidance
    from starflow_v.flow.guidance import LinearGuidance as LinearGuidance
    from starflow_v.flow.outputs import FlowOutput as FlowOutput
    from starflow_v.flow.outputs import Solution as Solution
    from starflow_v.flow.solver import Cost as Cost
    from starflow_v.flow.solver import FrameByFrame as FrameByFrame
    from starflow_v.flow.solver import JacobiSolver as JacobiSolver
    from starflow_v.flow.solver import SequentialSolver as SequentialSolver
    from starflow_v.flow.solver import SlidingSolver as SlidingSolver
    from starflow_v.flow.solver import Solver as Solver
    from starflow_v.flow.starflow import StarFlowModel as StarFlowModel
    from starflow_v.flow.window import ContextWindow as ContextWindow
    from starflow_v.flow.window import Window as Window
    from starflow_v.nn.storage import Int8Storage as Int8Storage
    from starflow_v.nn.storage import OffloadedStorage as OffloadedStorage
    from starflow_v.nn.storage import PlainStorage as PlainStorage
    from starflow_v.pipelines.encoding import Encoding as Encoding
    from starflow_v.pipelines.encoding import interpolate as interpolate
    from starflow_v.pipelines.extension import StarFlowVExtendPipeline as StarFlowVExtendPipeline
    from starflow_v.pipelines.image_to_video import (
        StarFlowVImageToVideoPipeline as StarFlowVImageToVideoPipeline,
    )
    from starflow_v.pipelines.output import StarFlowVPipelineOutput as StarFlowVPipelineOutput
    from starflow_v.pipelines.scores import Ranking as Ranking
    from starflow_v.pipelines.scores import Score as Score
    from starflow_v.pipelines.text_to_image import StarFlowPipeline as StarFlowPipeline
    from starflow_v.pipelines.text_to_image import (
        StarFlowPipelineOutput as StarFlowPipelineOutput,
    )
    from starflow_v.pipelines.text_to_video import StarFlowVPipeline as StarFlowVPipeline
    from starflow_v.pipelines.video_to_video import (
        StarFlowVVideoToVideoPipeline as StarFlowVVideoToVideoPipeline,
    )
    from starflow_v.sampling.overlap import InSeries as InSeries
    from starflow_v.sampling.overlap import SideBySide as SideBySide
    from starflow_v.text import LabelEncoder as LabelEncoder
    from starflow_v.vae import PatchCodec as PatchCodec
    from starflow_v.vae import PixelCodec as PixelCodec

_PUBLIC = {
    "embedded_model": "starflow_v.assets",
    "digits_model": "starflow_v.assets",
    "StarFlowModel": "starflow_v.flow.starflow",
    "FlowOutput": "starflow_v.flow.outputs",
    "Solution": "starflow_v.flow.outputs",
    "AffineParams": "starflow_v.flow.affine",
    "Guidance": "starflow_v.flow.guidance",
    "DensityGuidance": "starflow_v.flow.guidance",
    "LinearGuidance": "starflow_v.flow.guidance",
    "EachVideo": "starflow_v.flow.guidance",
    "Solver": "starflow_v.flow.solver",
    "Cost": "starflow_v.flow.solver",
    "SequentialSolver": "starflow_v.flow.solver",
    "FrameByFrame": "starflow_v.flow.solver",
    "JacobiSolver": "starflow_v.flow.solver",
    "SlidingSolver": "starflow_v.flow.solver",
    "Window": "starflow_v.flow.window",
    "ContextWindow": "starflow_v.flow.window",
    "PlainStorage": "starflow_v.nn.storage",
    "Int8Storage": "starflow_v.nn.storage",
    "OffloadedStorage": "starflow_v.nn.storage",
    "CausalDenoiser": "starflow_v.denoiser",
    "ScoreDenoiser": "starflow_v.denoiser",
    "PatchCodec": "starflow_v.vae",
    "PixelCodec": "starflow_v.vae",
    "SideBySide": "starflow_v.sampling.overlap",
    "InSeries": "starflow_v.sampling.overlap",
    "LabelEncoder": "starflow_v.text",
    "StarFlowPipeline": "starflow_v.pipelines.text_to_image",
    "StarFlowPipelineOutput": "starflow_v.pipelines.text_to_image",
    "StarFlowVPipeline": "starflow_v.pipelines.text_to_video",
    "StarFlowVImageToVideoPipeline": "starflow_v.pipelines.image_to_video",
    "StarFlowVExtendPipeline": "starflow_v.pipelines.extension",
    "StarFlowVVideoToVideoPipeline": "starflow_v.pipelines.video_to_video",
    "StarFlowVPipelineOutput": "starflow_v.pipelines.output",
    "Score": "starflow_v.pipelines.scores",
    "Ranking": "starflow_v.pipelines.scores",
    "Encoding": "starflow_v.pipelines.encoding",
    "interpolate": "starflow_v.pipelines.encoding",
    "CausalVelocityModel": "starflow_v.baselines.causal_velocity",
    "StarFlowVFlowMatchingPipeline": "starflow_v.baselines.pipeline",
    "ModelMixin": "diffusers",
}

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


if not TYPE_CHECKING:  # to a type checker, a name that is not imported above is an error

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
