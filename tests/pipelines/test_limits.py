"""Running in less memory: how caches and weights are kept, and what a decoder holds on to.

Offloading is tested with the hooks: `test_diffusers_conventions`, `test_model_mixin`.
"""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from starflow_v import Int8Storage, OffloadedStorage, PlainStorage, StarFlowModel, StarFlowVPipeline
from starflow_v.assets import embedded_model
from starflow_v.nn.storage import CacheStorage
from starflow_v.planner.trace import tracing
from starflow_v.vae import codec_for

PROMPTS = [
    "a red circle moves right on a blue background",
    "a big yellow star moves up and left on a black background",
    "a small green square bounces on a white background",
    "a purple triangle moves down on a gray background",
]


@pytest.fixture(scope="module")
def trained() -> StarFlowVPipeline:
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: StarFlowVPipeline, videos: int = 1, guidance: float | None = None) -> Tensor:
    """As many of each caption, if there are more than one."""
    seeds = [torch.Generator().manual_seed(seed) for seed in range(videos)]
    prompts = [PROMPTS[seed * len(PROMPTS) // videos] for seed in range(videos)]
    made = pipe(prompts, generator=seeds, output_type="pt", guidance_scale=guidance)
    frames = made.frames
    assert isinstance(frames, Tensor)
    return frames


@pytest.mark.parametrize(
    ("storage", "least"),
    [
        (PlainStorage(torch.bfloat16), 54.0),
        (Int8Storage(), 48.0),
        (OffloadedStorage(), 100.0),
        (OffloadedStorage(inner=Int8Storage()), 48.0),
    ],
)
def test_videos_of_smaller_caches_are_nearly_the_same(
    trained: StarFlowVPipeline, storage: CacheStorage, least: float
) -> None:
    """PSNR in decibels against keys and values in float32, on trained weights.

    The median of 32 videos of four captions: videos differ by up to 30 dB, and
    medians of single captions by 14 (8 bits, guided). Guidance, 3 here, amplifies rounding,
    so guided videos are held to 42 dB.
    """
    for guidance, bound in ((0.0, least), (None, min(least, 42.0))):
        expected = run(trained, videos=32, guidance=guidance)
        trained.set_cache_storage(storage)
        errors = (run(trained, videos=32, guidance=guidance) - expected).square().flatten(1).mean(1)
        trained.set_cache_storage(PlainStorage())
        assert (-10 * torch.log10(errors + 1e-12)).median() > bound
        assert torch.equal(run(trained, videos=32, guidance=guidance), expected)


def test_eight_bit_floats_hold_a_whole_pipeline(trained: StarFlowVPipeline) -> None:
    pipe = StarFlowVPipeline.from_pretrained(embedded_model())
    pipe.set_progress_bar_config(disable=True)
    for model in (pipe.flow, pipe.denoiser):
        model.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    stored = sum(w.numel() * w.element_size() for w in pipe.flow.parameters())
    assert stored < 0.3 * sum(w.numel() * w.element_size() for w in trained.flow.parameters())
    got, expected = run(pipe), run(trained)
    assert got.isfinite().all()
    assert torch.corrcoef(torch.stack((got.flatten(), expected.flatten())))[0, 1] > 0.5


def test_weights_of_eight_bits_through_torchao(tmp_path: Path) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    from diffusers import TorchAoConfig

    folder = embedded_model() / "flow"
    exact = StarFlowModel.from_pretrained(folder)
    small = StarFlowModel.from_pretrained(
        folder, quantization_config=TorchAoConfig(quantization.Int8WeightOnlyConfig())
    )
    weight = small.deep.block.transformer.layers[0].mlp.up.weight
    assert type(weight) is not torch.nn.Parameter
    x, text = torch.randn(1, 2, 48, 4, 4), torch.randn(1, 32, 128)
    with torch.no_grad():
        got, expected = small(x, text).z, exact(x, text).z
        assert (got - expected).abs().mean() < 0.05 * expected.std()
        assert small.inverse(got, text).isfinite().all()


@pytest.mark.parametrize("frames", [6, 12])
def test_a_stream_is_decoded_in_memory_that_does_not_grow(frames: int) -> None:
    with torch.device("meta"):
        vae = AutoencoderKLWan(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ).eval()
    held, peaks = [], []
    with torch.no_grad(), tracing() as trace:
        latents = (torch.empty(1, 1, 4, 4, 6, device="meta") for _ in range(frames))
        for pixels in codec_for(vae).decode_stream(latents):
            del pixels
            held.append(trace.live)
            peaks.append(trace.peak)
    assert held[2:] == [held[2]] * (frames - 2)
    assert peaks[-1] == peaks[2]


def test_a_sink_is_given_every_latent_frame_before_it_is_decoded(
    pipe: StarFlowVPipeline,
) -> None:
    told: list[tuple[Tensor, int, int]] = []

    class Sink:
        def write(self, frame: Tensor, *, total: int, hidden: int) -> None:
            told.append((frame, total, hidden))

    options = {"generator": torch.Generator().manual_seed(0), "output_type": "latent"}
    pipe.latents_sink = Sink()
    try:
        latents = pipe(PROMPTS[0], **options).frames
        streamed, told[:] = list(told), []
        next(pipe.stream(PROMPTS[0]))
        assert len(told) == 1
    finally:
        pipe.latents_sink = None
    assert isinstance(latents, Tensor)
    assert torch.equal(torch.cat([frame for frame, *_ in streamed], dim=1), latents.transpose(1, 2))
    assert {(total, hidden) for _, total, hidden in streamed} == {(3, 0)}
