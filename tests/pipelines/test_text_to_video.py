"""Text to video: shapes, randomness, streams, callbacks, saving, and what diffusers expects."""

import inspect
import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch.testing import assert_close

from starflow_v import (
    ContextWindow,
    DensityGuidance,
    InSeries,
    JacobiSolver,
    LinearGuidance,
    SequentialSolver,
    SlidingSolver,
    StarFlowVPipeline,
)

PROMPT = "a red circle moves right"
EXACT = SequentialSolver()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(pipe, prompt=PROMPT, **options):
    options = {"generator": seeded(), "output_type": "pt"} | options
    return pipe(prompt, **options).frames


def test_shapes(pipe):
    assert run(pipe).shape == (1, 9, 3, 16, 24)
    frames = run(pipe, output_type="np")
    assert frames.shape == (1, 9, 16, 24, 3)
    assert frames.dtype == np.float32
    assert frames.min() >= 0 and frames.max() <= 1
    assert run(pipe, output_type="pil")[0][8].size == (24, 16)
    assert run(pipe, output_type="latent").shape == (1, 4, 3, 2, 3)
    assert run(pipe, [PROMPT, "a blue circle"], num_videos_per_prompt=2).shape[0] == 4
    assert run(pipe, num_frames=1, height=24, width=16).shape == (1, 1, 3, 24, 16)
    (frames,) = pipe(PROMPT, generator=seeded(), return_dict=False)
    assert_close(frames, run(pipe, output_type="np"))


def test_a_sample_does_not_depend_on_its_batch(pipe):
    prompts = [PROMPT, "a blue circle", "a circle"]
    batch = run(pipe, prompts, generator=[seeded(i) for i in range(3)])
    for index, prompt in enumerate(prompts):
        alone = run(pipe, prompt, generator=[seeded(index)])
        assert_close(alone[0], batch[index], atol=1e-4, rtol=0)


def test_one_generator_seeds_one_child_per_sample(pipe):
    batch = run(pipe, [PROMPT] * 2)
    assert_close(run(pipe)[0], batch[0], atol=1e-4, rtol=0)
    assert not torch.allclose(batch[0], batch[1], atol=1e-2)


def test_a_longer_video_begins_alike(pipe):
    short = run(pipe, num_frames=9, output_type="latent")
    long = run(pipe, num_frames=13, output_type="latent")
    assert_close(long[:, :, :2], short[:, :, :2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("num_frames", [1, 9, 29])
def test_stream_is_the_call(pipe, num_frames):
    whole = run(pipe, num_frames=num_frames)
    chunks = list(pipe.stream(PROMPT, num_frames=num_frames, generator=seeded(), output_type="pt"))
    assert [chunk.shape[1] for chunk in chunks] == [1] + [4] * ((num_frames - 1) // 4)
    assert_close(torch.cat(chunks, dim=1), whole, atol=1e-5, rtol=0)


def test_stream_does_only_the_work_that_is_asked_for(pipe, monkeypatch):
    seen = []
    solve = type(pipe.flow).solve_shallow
    monkeypatch.setattr(
        type(pipe.flow), "solve_shallow", lambda *args: seen.append(1) or solve(*args)
    )
    stream = pipe.stream(PROMPT, num_frames=17, generator=seeded(), stages=InSeries())
    next(stream)
    assert len(seen) == 1 + pipe.denoiser.lookahead
    stream.close()


def test_two_streams_do_not_meet(pipe):
    alone = torch.cat(list(pipe.stream(PROMPT, generator=seeded(1), output_type="pt")), dim=1)
    streams = [pipe.stream(PROMPT, generator=seeded(seed), output_type="pt") for seed in (1, 2)]
    first = [pair[0] for pair in zip(*streams, strict=True)]
    assert_close(torch.cat(first, dim=1), alone)


def test_solvers_agree(pipe):
    solver = JacobiSolver(block_size=3, tolerance=0)
    assert_close(run(pipe, solver=solver), run(pipe), atol=1e-4, rtol=0)


def test_fine_frames_are_solved_many_tokens_at_a_time(pipe):
    """Small ones token by token, which is exact and as fast."""
    assert isinstance(pipe.solver_for(16, 24), SequentialSolver)
    fine = pipe.solver_for(64, 64)
    assert isinstance(fine, SlidingSolver)
    made = pipe(PROMPT, height=64, width=64, num_frames=5, generator=seeded(), output_type="latent")
    exact = run(pipe, height=64, width=64, num_frames=5, output_type="latent", solver=EXACT)
    assert_close(made.frames, exact, atol=0.05, rtol=0)
    assert made.deep.evaluations < 2 * 64


def test_noise_can_be_given(pipe):
    noise = torch.randn(1, 4, 3, 2, 3, generator=seeded())
    assert_close(run(pipe, latents=noise), run(pipe, latents=noise, generator=seeded(5)))
    with pytest.raises(ValueError, match=r"\(1, 4, 3, 2, 3\)"):
        run(pipe, latents=noise[:, :2])


def test_guidance(pipe):
    plain = run(pipe, guidance_scale=0)
    assert not torch.allclose(plain, run(pipe, guidance_scale=3.0), atol=1e-3)
    steered = run(pipe, guidance_scale=3.0, negative_prompt="a blue background")
    assert not torch.allclose(steered, run(pipe, guidance_scale=3.0), atol=1e-3)
    assert_close(run(pipe, guidance_scale=3.0, negative_prompt=""), run(pipe, guidance_scale=3.0))


def test_a_rule_of_guidance_is_an_object(pipe):
    density = run(pipe, guidance=DensityGuidance(2.0))
    assert_close(density, run(pipe, guidance_scale=2.0))
    assert not torch.allclose(density, run(pipe, guidance=LinearGuidance(2.0)))
    with pytest.raises(ValueError, match="either guidance, with its weight, or guidance_scale"):
        run(pipe, guidance=DensityGuidance(2.0), guidance_scale=2.0)


def test_long_video_restarts(pipe):
    window = ContextWindow(4, 2)
    assert_close(run(pipe, num_frames=33, window=window), run(pipe, num_frames=33))
    wider = run(pipe, num_frames=33, window=ContextWindow(9, 2), output_type="latent")
    usual = run(pipe, num_frames=33, output_type="latent")
    assert_close(wider[:, :, :3], usual[:, :, :3], atol=1e-4, rtol=0)
    assert not torch.allclose(wider, usual, atol=1e-3)


def test_without_a_denoiser_the_score_is_used(make_pipe):
    pipe = make_pipe()
    pipe.register_modules(denoiser=None)
    whole = run(pipe)
    assert whole.shape == (1, 9, 3, 16, 24)
    streamed = torch.cat(list(pipe.stream(PROMPT, generator=seeded(), output_type="pt")), dim=1)
    assert_close(streamed, whole, atol=1e-4, rtol=0)


def test_encode_prompt_in_isolation(pipe):
    signature = inspect.signature(pipe.encode_prompt)
    assert "prompt" in signature.parameters
    alone = StarFlowVPipeline(
        flow=None,
        denoiser=None,
        vae=None,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        **{
            k: v
            for k, v in pipe.config.items()
            if not k.startswith("_")
            and k != "denoiser"
            and k not in ("flow", "vae", "text_encoder", "tokenizer")
        },
    )
    text, null = alone.encode_prompt(PROMPT)
    assert text.shape == null.shape == (1, 40, 16)
    embedded = run(pipe, None, prompt_embeds=text, negative_prompt_embeds=null)
    assert_close(embedded, run(pipe))


def test_save_and_load(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["flow"] == ["starflow_v", "StarFlowModel"]
    assert index["denoiser"] == ["starflow_v", "CausalDenoiser"]
    loaded = StarFlowVPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.defaults == pipe.defaults
    assert_close(run(loaded), run(pipe))


def test_load_in_half_precision(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = StarFlowVPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.flow.dtype == torch.bfloat16
    assert torch.isfinite(run(loaded)).all()


def test_callback_sees_every_frame_and_may_replace_what_is_decoded(pipe):
    seen = []

    def watch(pipeline, step, timestep, tensors):
        seen.append((step, timestep, tensors["latents"].shape))
        if step == pipeline.num_timesteps - 1:
            tensors["latents"] = torch.zeros_like(tensors["latents"])
        return tensors

    latents = run(pipe, callback_on_step_end=watch, output_type="latent")
    assert seen == [(t, t, (1, 4, t + 1, 2, 3)) for t in range(3)]
    assert not latents.any()


def test_a_callback_can_stop_and_keeps_what_exists(pipe):
    def stop(pipeline, step, timestep, tensors):
        pipeline.interrupt = step == 1

    assert run(pipe, callback_on_step_end=stop).shape[1] == 5


def test_callback_can_change_guidance_and_count_steps(pipe):
    def raise_guidance(pipeline, step, timestep, tensors):
        pipeline._guidance_scale += 1.0
        return tensors

    run(pipe, guidance_scale=2.0, callback_on_step_end=raise_guidance)
    assert pipe.guidance_scale == 2.0 + pipe.num_timesteps


def test_model_offload_refuses_to_stream(make_pipe):
    pipe = make_pipe()
    pipe._all_hooks = [object()]
    with pytest.raises(ValueError, match="enable_group_offload"):
        next(pipe.stream(PROMPT))


def test_sequential_offload(make_pipe):
    pipe = make_pipe()
    expected = run(pipe)
    for component in (pipe.flow, pipe.denoiser, pipe.text_encoder):
        from accelerate import cpu_offload

        cpu_offload(component, torch.device("cpu"), offload_buffers=True)
    assert_close(run(pipe), expected)


def test_bad_input_is_explained(pipe):
    cases = {
        "multiples of 8": {"height": 20},
        "prompt_embeds": {"prompt": None},
        "output_type": {"output_type": "gif"},
        "callbacks": {"callback_on_step_end_tensor_inputs": ["noise"]},
        "num_frames": {"num_frames": -1},
        "num_frames=9.5": {"num_frames": 9.5},
        "frame_rate=0": {"frame_rate": 0},
        "guidance weight": {"guidance_scale": -1.0},
        "generators": {"generator": [seeded(), seeded()]},
    }
    for message, options in cases.items():
        with pytest.raises(ValueError, match=message):
            run(pipe, **{"prompt": PROMPT} | options)


@pytest.mark.parametrize(("asked", "made"), [(2, 5), (3, 5), (4, 5), (6, 5), (7, 9), (11, 13)])
def test_frame_counts_are_rounded_with_a_warning(pipe, asked, made):
    """Ties go up, and a video never becomes a still."""
    with pytest.warns(UserWarning, match=f"{made} frames will be made"):
        assert pipe.whole_frames(asked) == made


def test_a_stream_refuses_bad_input_at_once(pipe):
    with pytest.raises(ValueError, match="prompt"):
        pipe.stream(None)
    with pytest.raises(ValueError, match="multiples of 8"):
        pipe.stream(PROMPT, height=20)


def test_the_output_tells_what_it_took(pipe):
    output = pipe(PROMPT, generator=seeded())
    assert (output.deep.evaluations, output.deep.tokens) == (18, 18)
    assert (output.shallow.evaluations, output.shallow.tokens) == (2 * 6, 2 * 18)


def test_without_a_text_encoder_the_missing_embeddings_are_named(make_pipe, pipe):
    text, null = pipe.encode_prompt(PROMPT)
    bare = make_pipe()
    bare.register_modules(text_encoder=None, tokenizer=None)
    with pytest.raises(ValueError, match="give negative_prompt_embeds"):
        run(bare, None, prompt_embeds=text)
    expected = run(pipe, guidance_scale=0)
    assert_close(run(bare, None, prompt_embeds=text, guidance_scale=0), expected)
    guided = run(bare, None, prompt_embeds=text, negative_prompt_embeds=null)
    assert_close(guided, run(pipe))


def test_an_image_codec_makes_images_and_refuses_videos_before_the_work(make_pipe):
    torch.manual_seed(0)
    blocks = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    vae = AutoencoderKL(
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        block_out_channels=[4] * 4,
        norm_num_groups=2,
        latent_channels=4,
    )
    pipe = make_pipe()
    pipe.register_modules(vae=vae.eval())
    assert run(pipe, num_frames=1).shape == (1, 1, 3, 16, 24)
    with pytest.raises(ValueError, match="encodes single images"):
        pipe.stream(PROMPT, num_frames=5)


def test_unknown_words_are_named_with_what_is_known(pipe):
    with pytest.warns(UserWarning, match=r"never seen: unicorn\. The words it knows:.*circle"):
        run(pipe, "a red unicorn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(pipe)


def test_size_for_an_aspect_ratio(pipe):
    assert pipe.size_for("1:1") == (16, 16) or pipe.size_for("1:1") == (24, 24)
    height, width = pipe.size_for("9:16")
    assert height > width and height % 8 == width % 8 == 0
