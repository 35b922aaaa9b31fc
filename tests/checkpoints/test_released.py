"""Released checkpoints: every key has its place, and what does not fit is named."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModelMixin
from safetensors.torch import load_file
from torch import Tensor

from starflow_v.checkpoints import convert_released, export_released
from starflow_v.checkpoints.arguments import released_models
from starflow_v.checkpoints.description import read_description
from starflow_v.checkpoints.names import DEAD_BUFFERS, denoiser_names, flow_names, names_of
from starflow_v.denoiser import CausalDenoiser
from starflow_v.flow.starflow import StarFlowModel

GOLDEN = Path(__file__).parents[1] / "golden"

SHARED = {
    "patch_size": 1,
    "channels": 3072,
    "num_blocks": 6,
    "layers_per_block": [2, 2, 2, 2, 2, 24],
    "head_dim": 64,
    "img_size": 32,
    "pt_seq_len": 32,
    "txt_dim": 2048,
    "soft_clip": 4,
}
IMAGE_3B = SHARED | {"in_channels": 4, "txt_size": 128}
VIDEO_7B = SHARED | {
    "in_channels": 48,
    "top_block_channels": 4096,
    "txt_size": 256,
    "learnable_self_denoiser": True,
    "conditional_denoiser": True,
    "temporal_causal": 2,
    "shallow_block_local": True,
    "denoiser_window": 10,
}
RELEASED = {"starflow_3b_keys": IMAGE_3B, "starflow_v_7b_keys": VIDEO_7B}


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a released checkpoint, without its dead buffers."""
    table = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    return {key: tuple(shape) for key, shape in table.items() if not DEAD_BUFFERS.fullmatch(key)}


def settings(model: ModelMixin) -> dict[str, Any]:
    """A model's arguments as its config.json has them."""
    config = json.loads(json.dumps(dict(model.config)))
    return {key: value for key, value in config.items() if not key.startswith("_")}


def on_meta(name: str) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes(name).items()}


@pytest.mark.parametrize("name", RELEASED)
def test_every_released_key_is_one_of_our_parameters(name: str) -> None:
    flow, denoiser = released_models(RELEASED[name])
    tables = [(flow, flow_names(flow))]
    if denoiser is not None:
        tables.append((denoiser, denoiser_names(denoiser)))
    pairs = [
        (names[key], tuple(tensor.shape))
        for model, names in tables
        for key, tensor in model.state_dict().items()
    ]
    ours = dict(pairs)
    assert ours == shapes(name)
    assert len(ours) == len(pairs), "two parameters share a released name"


@pytest.mark.parametrize("name", RELEASED)
def test_released_tables_convert(name: str) -> None:
    flow, denoiser = convert_released(on_meta(name), RELEASED[name])
    assert (denoiser is None) == (name == "starflow_3b_keys")
    assert not flow.training
    assert all(weight.requires_grad for weight in flow.parameters())


def test_the_7b_models_are_the_defaults() -> None:
    flow, denoiser = released_models(VIDEO_7B)
    assert denoiser is not None
    for model in (flow, denoiser):
        with torch.device("meta"):
            default = type(model)()
        assert settings(model) == settings(default)


CONFIGS = {"starflow_3b_t2i_256": "starflow_3b_keys", "starflow_v_7b_480p": "starflow_v_7b_keys"}


@pytest.mark.parametrize("config", CONFIGS)
def test_the_configurations_are_the_released_models(config: str) -> None:
    described = read_description(GOLDEN.parents[1] / "configs" / f"{config}.yaml")
    from_arguments = released_models(RELEASED[CONFIGS[config]])
    ours = {}
    for model, expected in zip(described.models(), from_arguments, strict=True):
        assert (model is None) == (expected is None)
        if model is not None and expected is not None:
            assert settings(model) == settings(expected)
            weights = model.state_dict()
            ours |= {theirs: tuple(weights[key].shape) for key, theirs in names_of(model).items()}
    assert ours == shapes(CONFIGS[config])


def test_dead_buffers_and_nothing_else_is_dropped() -> None:
    table = json.loads((GOLDEN / "starflow_v_7b_keys.json").read_text("utf-8"))
    dead = sorted(table.keys() - shapes("starflow_v_7b_keys").keys())
    assert dead == [
        *(f"blocks.{block}.attn_mask" for block in range(6)),
        "feat_rope.freqs_cos",
        "feat_rope.freqs_sin",
        "var",
    ]
    for key in ("blocks.0.variance", "var.weight", "feat_rope.freqs", "attn_mask_of_mine"):
        assert not DEAD_BUFFERS.fullmatch(key)


@pytest.fixture(scope="module")
def golden() -> tuple[dict[str, Tensor], dict[str, Any]]:
    arguments = json.loads((GOLDEN / "video" / "meta.json").read_text("utf-8"))["model"]
    return load_file(GOLDEN / "video" / "checkpoint.safetensors"), arguments


def test_weights_are_used_without_a_copy(golden: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
    weights, arguments = golden
    flow, denoiser = convert_released(weights, arguments)
    assert denoiser is not None
    start = flow.shallow.blocks[0].start
    assert start.data_ptr() == weights["blocks.0.sos_embed"].data_ptr()
    output = denoiser.output.weight
    assert output.data_ptr() == weights["learnable_self_denoiser.proj_out.weight"].data_ptr()


def without(key: str) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {name: t for name, t in weights.items() if name != key}


def plus(key: str, *shape: int) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {**weights, key: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("blocks.3.proj_txt.weight"), "missing key blocks.3.proj_txt.weight"),
        (
            without("learnable_self_denoiser.final_norm.weight"),
            "missing key learnable_self_denoiser.final_norm.weight",
        ),
        (plus("blocks.0.extra", 1), "surplus key blocks.0.extra"),
        (plus("blocks.4.sos_embed", 1, 1, 6), "surplus key blocks.4.sos_embed"),
        (plus("blocks.0.proj_txt.weight", 32, 12), "surplus key blocks.0.proj_txt.weight"),
        (plus("blocks.0.start", 1, 1, 6), "surplus key blocks.0.start"),
        (plus("flow.shallow.blocks.0.start", 1, 1, 6), "surplus key flow.shallow.blocks.0.start"),
        (
            plus("blocks.0.proj_in.bias", 31),
            r"other shape of blocks.0.proj_in.bias: the file has \(31,\), the model \(32,\)",
        ),
    ],
)
def test_a_key_that_does_not_fit_is_named(
    golden: tuple[dict[str, Tensor], dict[str, Any]],
    change: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    message: str,
) -> None:
    weights, arguments = golden
    with pytest.raises(ValueError, match=message):
        convert_released(change(weights), arguments)


def test_many_problems_are_counted(golden: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
    _, arguments = golden
    with pytest.raises(ValueError, match=r"(?s)missing key blocks.0.*\n  and \d+ more"):
        convert_released({}, arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope": False}, "rope=False is not supported.*expected True"),
        ({"seq_order": "R2L"}, "seq_order='R2L' is not supported.*expected 'L2R'"),
        ({"use_softplus": False}, "use_softplus=False"),
        ({"use_final_norm": False}, "use_final_norm=False"),
        ({"temporal_causal": 1}, "temporal_causal=1 is not supported.*expected 2"),
        ({"shallow_block_local": False}, "shallow_block_local=False"),
        ({"cond_top_only": False}, "cond_top_only=False"),
        ({"sos": False}, "sos=False"),
        ({"num_blocks": 5}, r"layers_per_block=\[2, .*\] does not fit num_blocks=5.*single one"),
        ({"hf_style_rope": True}, "hf_style_rope=True is not supported.*expected False"),
        ({"norm_type": "rms_norm"}, "norm_type='rms_norm' is not .*expected 'layer_norm'"),
        ({"num_heads": 8}, "num_heads=8 is not supported.*expected None"),
        ({"num_kv_heads": 4}, "num_kv_heads=4"),
        ({"use_qk_norm": True}, "use_qk_norm=True"),
        ({"use_post_norm": True}, "use_post_norm=True"),
        ({"use_swiglu": True}, "use_swiglu=True"),
        ({"use_bias": False}, "use_bias=False is not supported.*expected True"),
        ({"use_mm_attn": 1}, "use_mm_attn=1"),
        ({"use_pretrained_lm": "some_lm"}, "use_pretrained_lm='some_lm'"),
        ({"local_attn_window": 8}, "local_attn_window=8"),
        ({"txt_size": 0}, "without text .*txt_size missing or 0.* two axes"),
    ],
)
def test_arguments_of_another_architecture_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        released_models(VIDEO_7B | changes)


DEFAULTS = {
    "hf_style_rope": False,
    "norm_type": "layer_norm",
    "num_heads": None,
    "num_kv_heads": None,
    "use_qk_norm": False,
    "use_post_norm": False,
    "use_swiglu": False,
    "use_bias": True,
}


@pytest.mark.parametrize("said", [DEFAULTS, dict.fromkeys(DEFAULTS.keys() - {"use_bias"})])
def test_what_is_not_used_may_be_said(said: dict[str, Any]) -> None:
    flow, _ = released_models(VIDEO_7B | said)
    assert settings(flow) == settings(released_models(VIDEO_7B)[0])


def test_one_number_of_layers_is_that_of_every_block() -> None:
    flow, _ = released_models(VIDEO_7B | {"layers_per_block": [3]})
    assert flow.config["shallow_layers"] == [3] * 5
    assert flow.config["deep_layers"] == 3


@pytest.mark.parametrize("said", [{}, {"pt_seq_len": None}, {"pt_seq_len": 0}])
def test_without_a_reference_size_it_is_the_side_in_tokens(said: dict[str, Any]) -> None:
    arguments = {key: value for key, value in VIDEO_7B.items() if key != "pt_seq_len"} | said
    for model in released_models(arguments | {"img_size": 24, "patch_size": 2}):
        assert model is not None
        assert model.config["reference_size"] == 12.0


def test_a_denoiser_whose_window_is_null_heeds_every_frame() -> None:
    _, denoiser = released_models(VIDEO_7B | {"denoiser_window": None})
    assert denoiser is not None
    assert denoiser.config["window"] >= 10_000


@pytest.mark.parametrize(
    "name", ["in_channels", "soft_clip", "txt_dim", "denoiser_window", "layers_per_block"]
)
def test_a_missing_argument_is_named(name: str) -> None:
    arguments = {key: value for key, value in VIDEO_7B.items() if key != name}
    with pytest.raises(ValueError, match=f"arguments lack {name}"):
        released_models(arguments)


def test_an_unconditional_denoiser_has_no_text() -> None:
    _, denoiser = released_models(VIDEO_7B | {"conditional_denoiser": False})
    assert denoiser is not None
    assert denoiser.text_input is None


def test_a_model_without_text_is_refused() -> None:
    """Its rotary positions have no axis of time, so the same weights would mean another model."""
    arguments = {key: value for key, value in IMAGE_3B.items() if not key.startswith("txt")}
    with pytest.raises(ValueError, match=r"without text .* cannot be converted.* two axes"):
        released_models(arguments)


def test_an_image_model_may_say_that_it_is_none_of_time() -> None:
    flow, denoiser = released_models(
        IMAGE_3B | {"temporal_causal": 0, "shallow_block_local": False}
    )
    assert denoiser is None
    assert settings(flow) == settings(released_models(IMAGE_3B)[0])


def test_exporting_undoes_converting(golden: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
    weights, arguments = golden
    flow, denoiser = convert_released(weights, arguments)
    exported = export_released(flow, denoiser)
    assert exported.keys() == {key for key in weights if not DEAD_BUFFERS.fullmatch(key)}
    for key, tensor in exported.items():
        assert torch.equal(tensor, weights[key]) and not tensor.requires_grad
    alone = export_released(flow, None) | export_released(None, denoiser)
    assert alone.keys() == exported.keys()


def test_nothing_is_no_checkpoint() -> None:
    with pytest.raises(ValueError, match="nothing to export"):
        export_released(None, None)


SMALL = {"in_channels": 2, "head_dim": 20, "text_dim": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shallow_groups": 2}, "shallow_groups=2 has no released layout"),
        ({"deep_groups": 1}, "deep_groups=1 has no released layout"),
        ({"text_dim": None}, "without text has no released layout"),
    ],
)
def test_a_flow_that_would_be_read_as_another_is_not_exported(
    change: dict[str, Any], message: str
) -> None:
    shape = {"shallow_width": 20, "deep_width": 20, "shallow_layers": (1,), "deep_layers": 1}
    flow = StarFlowModel(**(SMALL | shape | change))
    with pytest.raises(ValueError, match=message):
        export_released(flow)


def test_a_denoiser_that_looks_less_far_ahead_is_warned_of() -> None:
    denoiser = CausalDenoiser(**SMALL, width=20, layers=2, lookahead_layers=1)
    with pytest.warns(UserWarning, match="1 of the denoiser's 2 layers look ahead"):
        export_released(None, denoiser)
