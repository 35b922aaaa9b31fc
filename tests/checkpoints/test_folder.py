"""A released checkpoint becomes a folder that makes the released samples, whole or not at all."""

import json
import shutil
import subprocess
import sys
import warnings
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from starflow_v import DensityGuidance, PatchCodec, StarFlowVPipeline
from starflow_v.checkpoints import folder as folder_module
from starflow_v.checkpoints.description import ModelDescription, PipelineDescription
from starflow_v.checkpoints.folder import Surroundings, convert_checkpoint
from starflow_v.checkpoints.parts import OLD_NAMES, vae_part
from starflow_v.text import tiny_text_encoder
from tests.checkpoints.conftest import GOLDEN


@pytest.fixture
def description(arguments: dict[str, Any]) -> ModelDescription:
    return ModelDescription(model=arguments)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE and a text encoder that fit the golden model, in a pipeline's layout."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    encoder, tokenizer = tiny_text_encoder(["a red circle"], width=12, layers=1, heads=2)
    PatchCodec(channels=6, patch_size=8).save_pretrained(folder / "vae")
    encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def load(folder: Path, **options: Any) -> StarFlowVPipeline:
    pipe = StarFlowVPipeline.from_pretrained(folder, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def assert_golden(pipe: StarFlowVPipeline) -> None:
    io = load_file(GOLDEN / "io.safetensors")
    guidance = DensityGuidance(float(io["sample.guidance_weight"]))
    x = pipe.flow.inverse(io["noise"], io["text"], null_text=io["text_null"], guidance=guidance)
    assert_close(x, io["sample.guided"], atol=1e-4, rtol=1e-4)
    assert pipe.denoiser is not None
    cleaned = pipe.denoiser(io["x"], io["text"])
    assert_close(cleaned, io["denoiser.output"], atol=1e-4, rtol=1e-4)


def test_the_golden_checkpoint_makes_the_golden_samples(
    pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    output = convert_checkpoint(pickled, description, tmp_path / "deep" / "model")
    pipe = load(output)
    assert_golden(pipe)
    assert (pipe.vae, pipe.text_encoder, pipe.tokenizer) == (None, None, None)
    assert pipe.config["text_length"] == 5
    with pytest.raises(ValueError, match="this pipeline has no VAE"):
        pipe(prompt_embeds=torch.zeros(1, 5, 12), guidance_scale=0.0)
    assert [path.name for path in output.parent.iterdir()] == ["model"]


def as_safetensors(weights: dict[str, Tensor], folder: Path) -> Path:
    save_file(weights, folder / "x.safetensors")
    return folder / "x.safetensors"


def inside(weights: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"step": 3, "model": {"module": weights}, "optimizer": torch.zeros(3)}, folder / "x")
    return folder / "x"


def distributed(weights: dict[str, Tensor], folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": weights, "epoch": 3}, checkpoint_id=folder / "x", no_dist=True)
    return folder / "x"


@pytest.mark.parametrize("layout", [as_safetensors, inside, distributed])
def test_other_layouts_make_the_same_folder(
    layout,
    weights: dict[str, Tensor],
    pickled: Path,
    description: ModelDescription,
    tmp_path: Path,
) -> None:
    expected = convert_checkpoint(pickled, description, tmp_path / "expected")
    got = convert_checkpoint(layout(weights, tmp_path), description, tmp_path / "got")
    assert files(got) == files(expected)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()
    }


def test_several_models_in_one_file_are_refused(
    weights: dict[str, Tensor], description: ModelDescription, tmp_path: Path
) -> None:
    torch.save({"model": weights, "ema": weights}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"holds several models \(model\., ema\.\)"):
        convert_checkpoint(tmp_path / "x.pth", description, tmp_path / "out")


def test_vae_and_text_encoder_come_along(
    pickled: Path, description: ModelDescription, parts: Path, tmp_path: Path
) -> None:
    output = convert_checkpoint(
        pickled,
        replace(description, pipeline=PipelineDescription(height=16, width=24, num_frames=5)),
        tmp_path / "model",
        dtype=torch.bfloat16,
        surroundings=Surroundings(vae=str(parts), text_encoder=str(parts)),
    )
    dtypes = {
        name: {
            it.dtype
            for path in (output / name).glob("*.safetensors")
            for it in load_file(path).values()
        }
        for name in ("flow", "denoiser", "text_encoder", "vae")
    }
    half, full = {torch.bfloat16}, {torch.float32}
    assert dtypes == {"flow": half, "denoiser": half, "text_encoder": half, "vae": full}
    pipe = load(output)
    assert pipe("a red circle").frames.shape == (1, 5, 16, 24, 3)
    original = load_file(parts / "text_encoder" / "model.safetensors")
    for name, tensor in pipe.text_encoder.state_dict().items():
        twin = original["shared.weight" if name == "encoder.embed_tokens.weight" else name]
        assert torch.equal(tensor, twin.bfloat16().float())


def test_a_text_encoder_is_found_in_a_model_with_a_decoder(
    pickled: Path, description: ModelDescription, parts: Path, tmp_path: Path
) -> None:
    """The hub's flan-T5 is one: encoder, decoder and tokenizer in one folder."""
    whole = tmp_path / "t5"
    shutil.copytree(parts / "text_encoder", whole)
    shutil.copytree(parts / "tokenizer", whole, dirs_exist_ok=True)
    weights = load_file(whole / "model.safetensors")
    save_file(weights | {"decoder.x": torch.zeros(3)}, whole / "model.safetensors")
    output = convert_checkpoint(
        pickled,
        description,
        tmp_path / "model",
        surroundings=Surroundings(text_encoder=str(whole)),
    )
    assert load_file(output / "text_encoder" / "model.safetensors").keys() == weights.keys()
    assert type(load(output).text_encoder).__name__ == "T5EncoderModel"


def test_small_shards_hold_the_same(
    pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    output = convert_checkpoint(pickled, description, tmp_path / "model", shard_bytes=100_000)
    assert len(list((output / "flow").glob("*.safetensors"))) > 3
    assert_golden(load(output))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: PatchCodec(channels=4, patch_size=8).save_pretrained(folder / "vae"),
            "the VAE has 4 latent channels, the flow needs 6",
        ),
        (
            lambda folder: (folder / "nothing").mkdir(parents=True),
            "holds neither config.json, nor a folder vae that does",
        ),
        (
            lambda folder: write(folder / "config.json", {"_class_name": "VQModel"}),
            "holds a VQModel; expected a VAE",
        ),
        (lambda folder: None, "it is no hub id either"),
    ],
)
def test_a_vae_that_does_not_fit_is_refused(
    make, message: str, pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    make(tmp_path / "parts")
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(
            pickled,
            description,
            tmp_path / "out",
            surroundings=Surroundings(vae=str(tmp_path / "parts")),
        )
    assert not (tmp_path / "out").exists()


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_vae_without_all_of_its_weights_is_refused(
    pickled: Path, description: ModelDescription, parts: Path, tmp_path: Path
) -> None:
    vae = tmp_path / "vae"
    shutil.copytree(parts / "vae", vae)
    path = vae / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({key: it for key, it in weights.items() if key != name}, path)
    with pytest.raises(ValueError, match=f"do not fit its config.json: they lack {name}"):
        convert_checkpoint(
            pickled, description, tmp_path / "out", surroundings=Surroundings(vae=str(vae))
        )


def test_an_old_vae_is_read(tmp_path: Path) -> None:
    """The VAE of the released image model was saved when diffusers had other names."""
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    vae.save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {}
    for name, tensor in load_file(path).items():
        for ours, theirs in OLD_NAMES.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        old[name] = tensor
    assert any(".proj_attn." in name for name in old)
    save_file(old, path)
    part = vae_part(str(tmp_path))
    names = list(vae.state_dict())
    assert part.layout.keys() == set(names)
    for name, tensor in zip(names, part.source.read(names), strict=True):
        assert torch.equal(tensor, vae.state_dict()[name])


def test_a_text_encoder_of_another_width_is_refused(
    pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    encoder, tokenizer = tiny_text_encoder(["red"], width=16, layers=1, heads=2)
    encoder.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    with pytest.raises(ValueError, match="embeddings are 16 wide, the flow needs 12"):
        convert_checkpoint(
            pickled,
            description,
            tmp_path / "out",
            surroundings=Surroundings(text_encoder=str(tmp_path / "t5")),
        )


def test_a_disk_too_small_is_told_before_anything_is_written(
    pickled: Path,
    description: ModelDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match=r"the disk is too small: .*out needs 0\.07 GB"):
        convert_checkpoint(pickled, description, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_an_interrupted_conversion_leaves_nothing(
    failure: type[BaseException],
    pickled: Path,
    description: ModelDescription,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_weights, calls = folder_module.write_weights, []

    def fail(*arguments: Any, **options: Any) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise failure
        return write_weights(*arguments, **options)

    monkeypatch.setattr(folder_module, "write_weights", fail)
    with pytest.raises(failure):
        convert_checkpoint(pickled, description, tmp_path / "out")
    assert len(calls) == 2 and not list(tmp_path.iterdir())


def test_what_a_killed_conversion_left_is_removed(
    pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    left = tmp_path / ".out.partial" / "flow"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    convert_checkpoint(pickled, description, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "flow" / "half").exists()


def test_a_folder_that_is_taken_is_left_alone(
    pickled: Path, description: ModelDescription, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(ValueError, match="is there already: give a new folder"):
        convert_checkpoint(pickled, description, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    convert_checkpoint(pickled, description, tmp_path / "empty")
    assert (tmp_path / "empty" / "model_index.json").is_file()


MEASURE = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {benchmarks!r})
from memory import PeakMemory
from starflow_v.checkpoints.description import read_description
from starflow_v.checkpoints.folder import convert_checkpoint
description = read_description({config!r})
with PeakMemory() as peak:
    convert_checkpoint(Path({checkpoint!r}), description, Path({output!r}), dtype=torch.bfloat16)
print(peak.anonymous)
"""
BIG = """
flow: {in_channels: 4, shallow_width: 512, deep_width: 512, shallow_layers: [4, 4], deep_layers: 16,
       head_dim: 64, text_dim: 8, reference_size: 4}
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_more_than_a_few_tensors_are_in_memory(tmp_path: Path) -> None:
    """300 MB become 150 MB, and a tenth of that is allocated on the way."""
    from starflow_v.checkpoints.description import read_description
    from starflow_v.checkpoints.names import names_of

    config = tmp_path / "big.yaml"
    config.write_text(BIG)
    flow, _ = read_description(config).models()
    shapes = {theirs: flow.state_dict()[ours].shape for ours, theirs in names_of(flow).items()}
    torch.save({key: torch.ones(shape) for key, shape in shapes.items()}, tmp_path / "big.pth")
    size = (tmp_path / "big.pth").stat().st_size
    assert size > 2.9e8
    program = MEASURE.format(
        benchmarks=str(Path(__file__).parents[2] / "benchmarks"),
        config=str(config),
        checkpoint=str(tmp_path / "big.pth"),
        output=str(tmp_path / "out"),
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < size / 5
