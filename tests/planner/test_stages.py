"""The plan of a tiny model against the model itself."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from starflow_v import CausalDenoiser, DensityGuidance, PatchCodec, StarFlowModel
from starflow_v.flow.solver import SequentialSolver
from starflow_v.flow.window import ContextWindow
from starflow_v.nn.storage import Int8Storage, PlainStorage
from starflow_v.planner import EVERYTHING_ON_DEVICE, METHODS, SCHEMES, Blueprint, Job, Planner
from starflow_v.planner.methods import Method, Need, memory_of, stages_of
from starflow_v.planner.placements import GroupOffload, ModelOffload, SequentialOffload
from starflow_v.planner.schemes import Effort, Scheme
from starflow_v.sampling.stages import DeepStage
from starflow_v.text import tiny_text_encoder

SETTINGS = {
    "height": 32,
    "width": 48,
    "num_frames": 9,
    "guidance_scale": 2.0,
    "text_length": 5,
    "window_frames": 4,
    "window_overlap": 2,
    "noise_std": 0.3,
    "temporal_scale": 0.8,
}
TOKENS, WIDTH, HEADS, LAYERS = 6, 40, 2, 3


@pytest.fixture(scope="module")
def blueprint() -> Blueprint:
    sizes = {"in_channels": 4, "head_dim": 20, "text_dim": 16, "reference_size": 2.0}
    with torch.device("meta"):
        flow = StarFlowModel(
            shallow_width=20, deep_width=WIDTH, shallow_layers=(1, 1), deep_layers=LAYERS, **sizes
        )
        denoiser = CausalDenoiser(width=20, layers=2, window=3, lookahead_layers=1, **sizes)
        vae = PatchCodec(channels=4, patch_size=16)
        text_encoder, _ = tiny_text_encoder(["red"], width=16, layers=1, heads=2)
    return Blueprint(
        name="tiny",
        flow=flow,
        denoiser=denoiser,
        vae=vae,
        text_encoder=text_encoder,
        settings=SETTINGS,
    )


def test_evaluations_are_those_of_the_solver(blueprint: Blueprint) -> None:
    stages = Planner(blueprint, Job.of(blueprint)).stages(SCHEMES["sequential"])
    assert stages["deep"].evaluations == 3 * TOKENS + 1  # and the reading of the text
    assert stages["shallow"].evaluations == pytest.approx(3 * 2 * TOKENS + 3, abs=3)
    whole = Planner(blueprint, Job.of(blueprint)).stages(SCHEMES["sequential"], whole=True)
    assert whole["shallow"].evaluations == pytest.approx(2 * TOKENS, abs=1)


def test_the_cache_is_as_large_as_its_slots(blueprint: Blueprint) -> None:
    slots = SETTINGS["text_length"] + 3 * TOKENS
    numbers = 2 * LAYERS * slots * WIDTH
    for guidance, batch in ((0.0, 1), (2.0, 1), (2.0, 3)):
        job = Job.of(blueprint, guidance=guidance, batch=batch)
        rows = batch * (2 if guidance else 1)
        planner = Planner(blueprint, job)
        kept = planner.stages(SCHEMES["sequential"])["deep"].kept
        assert kept == pytest.approx(4 * rows * numbers, rel=0.15)  # embeddings and positions too
        eight = planner.stages(SCHEMES["sequential"], storage=Int8Storage())["deep"].kept
        saved = rows * numbers * (4 - 1 - 2 / 20)
        assert kept - eight == pytest.approx(saved)


def test_work_is_that_of_running_the_stage(blueprint: Blueprint) -> None:
    """FLOPs of the deep stage, counted while it really runs token by token on meta."""
    from starflow_v.planner.trace import tracing

    job = Job.of(blueprint, num_frames=29)  # 8 latent frames in a window of 4
    planned = Planner(blueprint, job).stages(SCHEMES["sequential"])["deep"].work

    def noise() -> Iterator[Tensor]:
        for _ in range(8):
            yield torch.empty(1, 1, 4, 2, 3, device="meta")

    text = torch.empty(1, 5, 16, device="meta")
    with torch.no_grad(), tracing() as trace:
        stage = DeepStage(
            blueprint.flow,
            text,
            frames=8,
            solver=SequentialSolver(),
            null_text=text,
            guidance=DensityGuidance(2.0),
            window=ContextWindow(4, 2),
        )
        for _ in stage(noise()):
            pass
    restarts = 2  # each commits two frames at once, which the plan leaves out
    left_out = restarts * 2 * TOKENS / (8 * TOKENS)
    assert planned.flops == pytest.approx(trace.work.flops, rel=0.05 + left_out)
    assert planned.flops < trace.work.flops


def test_stage_after_stage_the_shallow_blocks_hold_one_window(blueprint: Blueprint) -> None:
    """All frames were planned side by side: 22 GB instead of 1.2 for 2,001 frames of a 7B model."""
    clip, video = (
        Planner(blueprint, Job.of(blueprint, num_frames=frames)).stages(
            SCHEMES["sequential"], whole=True
        )["shallow"]
        for frames in (13, 61)  # 4 latent frames and 16, in a window of 4
    )
    assert video.peak == clip.peak
    assert video.evaluations == 4 * clip.evaluations


def test_fewer_evaluations_move_fewer_bytes(blueprint: Blueprint) -> None:
    planner = Planner(blueprint, Job.of(blueprint))
    effort = Effort(passes=2, span=TOKENS)
    scheme = Scheme(name="own", deep=effort, shallow=effort, source="given")
    own, exact = planner.stages(scheme), planner.stages(SCHEMES["sequential"])
    assert own["deep"].work.flops > exact["deep"].work.flops
    assert own["deep"].work.moved < exact["deep"].work.moved
    assert own["decode"] == exact["decode"]


def test_offloading_saves_memory(blueprint: Blueprint) -> None:
    planner = Planner(blueprint, Job.of(blueprint))

    def need(method: Method) -> Need:
        return memory_of(method, blueprint, stages_of(method, planner, SCHEMES["paper"]))

    everything = need(EVERYTHING_ON_DEVICE)
    for method in METHODS:
        assert need(method).weights <= everything.weights
        assert (need(method).host > 0) == isinstance(
            method.placement, ModelOffload | GroupOffload | SequentialOffload
        )
    parameters = sum(p.numel() for part in blueprint.parts.values() for p in part.parameters())
    assert everything.weights == 4 * parameters
    assert everything.device == everything.weights + everything.caches + everything.passing


def test_sizes_that_do_not_fit_are_refused(blueprint: Blueprint) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        Planner(blueprint, Job.of(blueprint, height=40))


def test_a_plan_leaves_no_storage_behind(blueprint: Blueprint) -> None:
    planner = Planner(blueprint, Job.of(blueprint))
    planner.stages(SCHEMES["sequential"], storage=Int8Storage())
    assert blueprint.flow.deep.storage == PlainStorage()
