"""What diffusers asks of a pipeline beyond making videos: signatures, folders, dtypes, offload.

Everything that needs no more than a CPU; devices are played by hooks whose device is the CPU.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, WanPipeline
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from torch import Tensor, nn
from torch.testing import assert_close

from starflow_v import PatchCodec, StarFlowVPipeline

Make = Callable[..., StarFlowVPipeline]

PROMPT = "a red circle moves right"
TEXT_PARTS = {"text_encoder", "tokenizer"}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(pipe: StarFlowVPipeline, **options: object) -> Tensor:
    pipe.set_progress_bar_config(disable=True)
    options = {"prompt": PROMPT, "generator": seeded(), "output_type": "pt"} | options
    return pipe(**options).frames


def models(pipe: DiffusionPipeline) -> dict[str, nn.Module]:
    return {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}


def same_weights(one: DiffusionPipeline, other: DiffusionPipeline) -> None:
    assert models(one).keys() == models(other).keys()
    for name, model in models(one).items():
        assert_close(models(other)[name].state_dict(), model.state_dict(), atol=0, rtol=0)


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    del found["self"]
    return found


def test_a_call_reads_like_one_of_wan() -> None:
    ours, wan = parameters(StarFlowVPipeline.__call__), parameters(WanPipeline.__call__)
    assert [name for name in ours if name in wan] == [name for name in wan if name in ours]
    assert set(wan) - set(ours) == {"attention_kwargs", "guidance_scale_2"}
    assert all(parameter.default is not parameter.empty for parameter in ours.values())


def test_components_are_those_of_the_constructor(pipe: StarFlowVPipeline) -> None:
    assert set(pipe.components) == {"flow", "denoiser", "vae", *TEXT_PARTS}
    assert set(pipe.model_cpu_offload_seq.split("->")) == set(models(pipe))


def test_encoding_returns_arguments_of_a_call() -> None:
    """Tools read the names of the `return` statement, and pass the values on under them."""
    source = textwrap.dedent(inspect.getsource(StarFlowVPipeline.encode_prompt))
    returns = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return)]
    assert [[name.id for name in value.elts] for value in returns] == [
        ["prompt_embeds", "negative_prompt_embeds"]
    ]


def test_encoding_takes_nothing_that_a_call_needs_beside_it() -> None:
    """It once took the height: who encoded first then made a video of another size."""
    shared = parameters(StarFlowVPipeline.encode_prompt).keys() & parameters(
        StarFlowVPipeline.__call__
    )
    assert shared == {
        "prompt",
        "negative_prompt",
        "num_videos_per_prompt",
        "prompt_embeds",
        "negative_prompt_embeds",
        "max_sequence_length",
    }


@pytest.mark.parametrize("told", [[], ["fps", "aspect_ratio", "noise_std"]])
def test_text_and_video_can_be_made_by_two_pipelines(make_pipe: Make, told: list[str]) -> None:
    pipe = make_pipe(conditions=told)
    size = {"height": 32, "width": 16, "num_frames": 5}
    whole = run(pipe, negative_prompt="blue", **size)
    reader = StarFlowVPipeline.from_pipe(make_pipe(conditions=told))
    writer = StarFlowVPipeline.from_pipe(pipe)
    for name in pipe.components:
        setattr(writer if name in TEXT_PARTS else reader, name, None)
    # a caption that tells nothing of the video needs nothing to be known of it
    conditions = reader.conditions_for(**size) if told else None
    text, null_text = reader.encode_prompt(PROMPT, "blue", conditions=conditions)
    embedded = {"prompt_embeds": text, "negative_prompt_embeds": null_text}
    assert_close(run(writer, prompt=None, **embedded, **size), whole)


def test_captions_tell_what_is_told_by_default(make_pipe: Make) -> None:
    pipe = make_pipe()
    conditions = pipe.conditions_for()
    assert (conditions.fps, conditions.aspect_ratio, conditions.noise_std) == (8, "4:3", 0.3)
    other = pipe.conditions_for(height=32, width=16, num_frames=1)
    assert (other.fps, other.aspect_ratio) == (0, "9:16")
    plain = make_pipe(conditions=None).conditions_for()
    assert (plain.fps, plain.aspect_ratio, plain.noise_std) == (None, None, None)


@pytest.mark.filterwarnings("ignore:this model has never seen")
def test_the_longest_prompt_of_a_batch_changes_no_other(pipe: StarFlowVPipeline) -> None:
    prompts = [PROMPT, "a circle", 100 * "very long "]
    with pytest.warns(UserWarning, match="cut off"):
        batch = run(pipe, prompt=prompts, generator=[seeded(i) for i in range(3)])
    assert_close(batch[:1], run(pipe), atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize(
    ("layout", "suffix"),
    [({"max_shard_size": "40KB"}, "safetensors"), ({"safe_serialization": False}, "bin")],
)
def test_every_layout_of_a_folder_is_read(
    pipe: StarFlowVPipeline, tmp_path: Path, layout: dict, suffix: str, variant: str | None
) -> None:
    pipe.save_pretrained(tmp_path, variant=variant, **layout)
    for name in ("flow", "denoiser", "vae"):
        files = list((tmp_path / name).glob(f"*.{suffix}"))
        assert files
        assert all((".fp16" in file.name) == (variant is not None) for file in files)
    same_weights(pipe, StarFlowVPipeline.from_pretrained(tmp_path, variant=variant))


def test_a_variant_that_is_not_there_is_not_replaced(
    pipe: StarFlowVPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="variant=fp16"):
        StarFlowVPipeline.from_pretrained(tmp_path, variant="fp16")


@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated")
def test_each_part_is_loaded_in_the_dtype_asked_for(
    pipe: StarFlowVPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    dtypes = {"flow": torch.bfloat16, "default": torch.float16}
    loaded = StarFlowVPipeline.from_pretrained(tmp_path, torch_dtype=dtypes)
    for name, model in models(loaded).items():
        assert model.dtype == dtypes.get(name, dtypes["default"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_pipeline_is_cast_as_a_whole(make_pipe: Make, dtype: torch.dtype) -> None:
    pipe = make_pipe().to(dtype=dtype)
    assert {model.dtype for model in models(pipe).values()} == {dtype}
    assert_close(run(pipe), run(make_pipe()), atol=0.05, rtol=0)


def test_the_denoiser_is_optional(make_pipe: Make, tmp_path: Path) -> None:
    """Its absence once broke loading: diffusers adds the optional parts to a list."""
    pipe = make_pipe()
    pipe.denoiser = None
    expected = run(pipe)
    pipe.save_pretrained(tmp_path)
    loaded = StarFlowVPipeline.from_pretrained(tmp_path)
    assert loaded.denoiser is None
    assert_close(run(loaded), expected)
    index = json.loads((tmp_path / "model_index.json").read_text("utf-8"))
    del index["denoiser"]
    (tmp_path / "model_index.json").write_text(json.dumps(index), "utf-8")
    assert StarFlowVPipeline.from_pretrained(tmp_path).denoiser is None


def test_parts_can_be_exchanged_while_loading(pipe: StarFlowVPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    loaded = StarFlowVPipeline.from_pretrained(tmp_path, flow=pipe.flow, denoiser=None)
    assert loaded.flow is pipe.flow
    assert loaded.denoiser is None


@pytest.mark.parametrize("other_vae", [False, True])
def test_a_pipeline_can_be_made_of_another(make_pipe: Make, other_vae: bool) -> None:
    """Parts go over if the constructor's annotation names their very class."""
    pipe = make_pipe()
    if other_vae:
        pipe.register_modules(vae=PatchCodec(channels=4))
    expected = run(pipe)
    again = StarFlowVPipeline.from_pipe(pipe)
    assert all(again.components[name] is part for name, part in pipe.components.items())
    assert again.defaults == pipe.defaults
    assert_close(run(again), expected)


def test_callbacks_get_the_tensors_that_they_ask_for(pipe: StarFlowVPipeline) -> None:
    seen = []

    def watch(pipeline: object, step: int, timestep: int, tensors: dict) -> dict:
        seen.append(set(tensors))
        return tensors

    everything = pipe._callback_tensor_inputs
    assert isinstance(everything, list)
    for names in (["latents"], ["prompt_embeds"], everything):
        run(pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names)
        assert seen == [set(names)] * pipe.num_timesteps
        seen.clear()


class Stop(PipelineCallback):
    """Interrupts after its step."""

    tensor_inputs = ("latents",)

    def callback_fn(
        self, pipeline: StarFlowVPipeline, step_index: int, timesteps: int, callback_kwargs: dict
    ) -> dict:
        pipeline._interrupt = step_index == self.config.cutoff_step_index
        return callback_kwargs


def test_callbacks_of_diffusers_work(pipe: StarFlowVPipeline) -> None:
    stop = Stop(cutoff_step_ratio=None, cutoff_step_index=1)
    assert run(pipe, callback_on_step_end=stop).shape[1] == 5
    assert run(pipe, callback_on_step_end=MultiPipelineCallbacks([stop])).shape[1] == 5


def test_model_offload_can_be_switched_on_twice(make_pipe: Make) -> None:
    pipe = make_pipe()
    expected = run(pipe)
    for _ in range(2):
        pipe.enable_model_cpu_offload(device="cpu")
        assert all(hasattr(model, "_hf_hook") for model in models(pipe).values())
        assert_close(run(pipe), expected)


@pytest.mark.parametrize("other_vae", [False, True])
def test_group_offload_reaches_every_part(
    make_pipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_vae: bool
) -> None:
    """Offloaded to the disk, a parameter that no hook fetched would be NaN here."""
    pipe = make_pipe()
    if other_vae:
        pipe.register_modules(vae=PatchCodec(channels=4))
    expected = run(pipe)
    monkeypatch.setattr(torch, "empty_like", lambda tensor, **_: torch.full_like(tensor, torch.nan))
    pipe.enable_group_offload(
        onload_device=torch.device("cpu"),
        offload_to_disk_path=str(tmp_path),
        offload_type="block_level",
        num_blocks_per_group=1,
    )
    assert all(w.isnan().all() for model in models(pipe).values() for w in model.parameters())
    assert_close(run(pipe), expected)
    stream = pipe.stream(PROMPT, generator=seeded(), output_type="pt")
    assert_close(torch.cat(list(stream), dim=1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": []},
        {"prompt": [1, 2]},
        {"negative_prompt": 3},
        {"negative_prompt": "b", "negative_prompt_embeds": torch.zeros(1, 40, 16)},
        {"num_videos_per_prompt": 0},
        {"num_frames": 0},
        {"height": 0},
    ],
)
def test_what_cannot_be_meant_is_refused(pipe: StarFlowVPipeline, options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        run(pipe, **options)
