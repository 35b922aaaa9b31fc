"""Diffusion of a flow's size on the same tokens: what sampling by steps costs.

    whole video    diffusers' `WanTransformer3DModel`, all frames at once, 50 guided steps
    causal         `CausalVelocityModel`, frame after frame given those before, 4 steps each

Both have the width of the flow's deep block, and the depth at which they come nearest to the
parameters of the flow and its denoiser. Weights are random: what a step costs does not depend on
them, and nothing is said here about what it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from starflow_v import StarFlowVPipeline
from starflow_v.baselines.causal_velocity import CausalVelocityModel
from starflow_v.baselines.guidance import VelocityGuidance
from starflow_v.baselines.integrators import Euler
from starflow_v.benchmark.clip import Clip, Made
from starflow_v.benchmark.stopwatch import Clock, synchronize
from starflow_v.flow.texts import Texts

STEPS, FEW = 50, 4
DEPTHS = range(1, 65)


@dataclass(kw_only=True)
class TimedCase:
    """A case of a campaign: an action, and the seconds that it took each time.

    Args:
        name: what tables call it.
        parameters: of the network.
        evaluations: of the network, one after the other.
        action: what is done.
        device: where.
        clock: what counts the seconds.
    """

    name: str
    parameters: int
    evaluations: int
    action: Callable[[], object]
    device: torch.device
    clock: Clock
    raw: list[float] = field(default_factory=list)

    def run(self, *, first: bool, counts: bool) -> None:
        synchronize(self.device)
        begun = self.clock()
        self.action()
        synchronize(self.device)
        if counts:
            self.raw.append(self.clock() - begun)

    def row(self, around: dict[str, float]) -> dict[str, Any]:
        """Its seconds, and end to end with what lies around it: `text`, `decode` and `file`."""
        seconds = median(self.raw)
        rest = sum(around[name] for name in ("text", "decode", "file"))
        return {
            "parameters": self.parameters,
            "evaluations": self.evaluations,
            "seconds": {"steps": seconds, "total": seconds + rest},
            "raw": self.raw,
        }


def baselines(pipe: StarFlowVPipeline, clip: Clip, made: Made, clock: Clock) -> list[TimedCase]:
    """Both, on the noise and the text of a clip; the first one guided.

    Args:
        pipe: the flow's pipeline.
        clip: what is made.
        made: the same made by the flow with guidance, whose noise and text are used.
        clock: what counts the seconds.
    """
    size = count(pipe.flow) + (0 if pipe.denoiser is None else count(pipe.denoiser))
    torch.manual_seed(clip.seed)
    whole = nearest(lambda depth: wan(pipe, depth), size).to(pipe.device)
    causal = nearest(lambda depth: velocity(pipe, depth), size).to(pipe.device)
    text, null_text = made.told.texts.text, made.told.texts.null_text
    assert text is not None and null_text is not None
    both = torch.cat((text, null_text))
    conditional = Texts(text)
    frames = made.z.shape[1]
    return [
        TimedCase(
            name="diffusion, 50 guided steps",
            parameters=count(whole),
            evaluations=STEPS,
            action=lambda: follow(whole, made.z, both, made.told.guidance.weight),
            device=pipe.device,
            clock=clock,
        ),
        TimedCase(
            name="causal diffusion, 4 steps a frame",
            parameters=count(causal),
            evaluations=(FEW + 1) * frames - 1,
            action=lambda: few_steps(causal, made.z, conditional),
            device=pipe.device,
            clock=clock,
        ),
    ]


def wan(pipe: StarFlowVPipeline, depth: int) -> nn.Module:
    """A transformer over all tokens of a video, text by cross-attention."""
    shape = pipe.flow.config
    width, head = shape["deep_width"], shape["head_dim"]
    return WanTransformer3DModel(
        patch_size=(1, shape["patch_size"], shape["patch_size"]),
        num_attention_heads=width // head,
        attention_head_dim=head,
        in_channels=shape["in_channels"],
        out_channels=shape["in_channels"],
        text_dim=shape["text_dim"],
        ffn_dim=4 * width,
        num_layers=depth,
    ).eval()


def velocity(pipe: StarFlowVPipeline, depth: int) -> nn.Module:
    """Our own transformer, causal over frames."""
    shape = pipe.flow.config
    names = ("in_channels", "patch_size", "head_dim", "text_dim", "reference_size")
    shared = {name: shape[name] for name in names}
    return CausalVelocityModel(width=shape["deep_width"], layers=depth, **shared).eval()


def nearest(make: Callable[[int], nn.Module], size: int) -> nn.Module:
    """The model of the depth whose parameters are nearest to `size`."""
    with torch.device("meta"):
        one, two = count(make(1)), count(make(2))
    return make(min(DEPTHS, key=lambda depth: abs(one + (depth - 1) * (two - one) - size)))


def count(model: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def follow(model: nn.Module, noise: Tensor, texts: Tensor, weight: float) -> Tensor:
    """Euler steps from noise (1, T, c, h, w), conditional and unconditional side by side."""
    x = noise.transpose(1, 2)
    for step in range(STEPS):
        at = x.new_full((2,), 1000 * (1 - step / STEPS))
        (v,) = model(torch.cat((x, x)), at, texts, return_dict=False)
        conditional, unconditional = v.chunk(2)
        x = x - (conditional + weight * (conditional - unconditional)) / STEPS
    return x.transpose(1, 2)


def few_steps(model: nn.Module, noise: Tensor, texts: Texts) -> Tensor:
    """Four Euler steps for each frame, without guidance, as distilled models are sampled."""
    made = model.solve_frames(
        iter(noise.split(1, dim=1)),
        texts,
        frames=noise.shape[1],
        integrator=Euler(FEW),
        guidance=VelocityGuidance(0.0),
    )
    return torch.cat([frame for frame, _ in made], dim=1)
