import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from starflow_v import CausalDenoiser, PatchCodec, StarFlowModel, StarFlowVPipeline
from starflow_v.text import tiny_text_encoder


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights that makes 9 frames of 48x32 at 8 fps, in steps of 16 pixels."""
    torch.manual_seed(0)
    sizes = {"in_channels": 4, "head_dim": 20, "text_dim": 16, "reference_size": 2.0}
    flow = StarFlowModel(
        shallow_width=20, deep_width=20, shallow_layers=(1, 1), deep_layers=1, **sizes
    )
    denoiser = CausalDenoiser(width=20, layers=2, window=3, lookahead_layers=1, **sizes)
    for parameter in [*flow.parameters(), *denoiser.parameters()]:
        torch.nn.init.normal_(parameter, std=0.3)
    words = ["a big red circle moves right on a blue background"]
    text_encoder, tokenizer = tiny_text_encoder(words, width=16, layers=1, heads=2)
    folder = tmp_path_factory.mktemp("pipeline")
    StarFlowVPipeline(
        flow,
        denoiser,
        PatchCodec(channels=4, patch_size=16),
        text_encoder,
        tokenizer,
        noise_std=0.3,
        frame_rate=8,
        num_frames=9,
        height=32,
        width=48,
        guidance_scale=1.0,
        text_length=48,
        conditions=["fps", "aspect_ratio", "noise_std"],
        window_frames=3,
        window_overlap=1,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the files of a model, but with weights of three and of four numbers."""
    folder = tmp_path / "model"
    index = {
        "_class_name": "StarFlowVPipeline",
        "flow": ["starflow_v", "StarFlowModel"],
        "denoiser": [None, None],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "conditions": ["fps", "noise_std"],
        "height": 64,
    }
    for name in ("flow", "tokenizer", "text_encoder"):
        (folder / name).mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "tokenizer" / "tokenizer_config.json").write_text("{}")
    (folder / "flow" / "config.json").write_text('{"in_channels": 8}')
    (folder / "text_encoder" / "config.json").write_text("{}")
    weights = {"shallow.a": torch.zeros(3, 1), "deep.a": torch.zeros(4, dtype=torch.bfloat16)}
    save_file(weights, folder / "flow" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    save_file({"a": torch.zeros(2, 2)}, folder / "text_encoder" / "model.safetensors")
    return folder
