import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from starflow_v.cli.common.model_folder import BrokenModelError, read_model_folder


def test_parts_are_counted_from_headers(model: Path) -> None:
    folder = read_model_folder(model)
    assert [part.name for part in folder.components] == ["flow", "tokenizer", "text_encoder"]
    assert folder.kind == "StarFlowVPipeline"
    assert folder["flow"].parameters() == 7
    assert folder["flow"].parameters("shallow.") == 3
    assert folder["flow"].dtypes == ("BF16", "F32")
    assert folder["flow"].config == {"in_channels": 8}
    assert folder["tokenizer"].parameters() == 0
    assert "denoiser" not in folder and "text_encoder" in folder
    assert folder.config == {"conditions": ["fps", "noise_std"], "height": 64}


def test_the_files_are_all_that_decides_what_the_model_makes(model: Path) -> None:
    (model / "README.md").write_text("a model card decides nothing")
    (model / "tokenizer" / "spiece.model").write_bytes(b"\0")
    (model / "flow" / "stranger.bin").write_bytes(b"a pickle is never read")
    assert [path.relative_to(model).as_posix() for path in read_model_folder(model).files] == [
        "model_index.json",
        "flow/config.json",
        "flow/diffusion_pytorch_model.safetensors",
        "tokenizer/spiece.model",
        "tokenizer/tokenizer_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
    ]


@pytest.mark.parametrize("kind", ["WanPipeline", None])
def test_a_pipeline_of_another_kind_is_refused(model: Path, kind: str | None) -> None:
    """It was once accepted, and then failed inside diffusers."""
    path = model / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": kind}))
    with pytest.raises(ValueError, match=f"is a {kind}; expected a StarFlowVPipeline"):
        read_model_folder(model)


def test_sharded_weights_are_found_by_their_index(model: Path) -> None:
    part = model / "text_encoder"
    (part / "model.safetensors").unlink()
    save_file({"a": torch.zeros(2, 2)}, part / "model-1.safetensors")
    save_file({"b": torch.zeros(3)}, part / "model-2.safetensors")
    save_file({"c": torch.zeros(5)}, part / "stranger.safetensors")
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (part / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert read_model_folder(model)["text_encoder"].parameters() == 7
    (part / "model-2.safetensors").unlink()
    with pytest.raises(BrokenModelError, match=r"model-2\.safetensors are missing"):
        read_model_folder(model)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("flow", r"lacks its part flow \(StarFlowModel\)"),
        ("tokenizer", "lacks its part tokenizer"),
        ("flow/config.json", "flow .* no config.json"),
        ("text_encoder/model.safetensors", "text_encoder holds no weights"),
    ],
)
def test_a_missing_part_is_named(model: Path, part: str, message: str) -> None:
    path = model / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BrokenModelError, match=message):
        read_model_folder(model)


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_weights_that_are_cut_off_are_named(model: Path, keep: int) -> None:
    path = model / "text_encoder" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BrokenModelError, match=r"model\.safetensors is (cut off|no safetensors)"):
        read_model_folder(model)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_json_that_is_broken_is_named(model: Path, content: str) -> None:
    (model / "flow" / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(BrokenModelError, match=r"config\.json"):
        read_model_folder(model)


def test_a_pickle_is_refused_with_the_function_that_converts_it(model: Path) -> None:
    pickle = model / "checkpoint.pth"
    pickle.write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoint\.pth .*starflow-v convert"):
        read_model_folder(pickle)
    (model / "model_index.json").unlink()
    with pytest.raises(ValueError, match=r"no model_index\.json.*starflow-v convert"):
        read_model_folder(model)


def test_weights_in_a_pickle_are_not_loaded(model: Path) -> None:
    weights = model / "flow" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BrokenModelError, match=r"no weights.*\.bin is a pickle"):
        read_model_folder(model)


def test_what_is_no_folder_of_a_model_is_refused(model: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, model / "flow" / "config.json"):
        with pytest.raises(ValueError, match="folder"):
            read_model_folder(path)
