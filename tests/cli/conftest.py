import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file


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
