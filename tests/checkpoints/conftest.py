import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "video"


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """The golden video model's parameters under their released names."""
    return load_file(GOLDEN / "checkpoint.safetensors")


@pytest.fixture(scope="session")
def arguments() -> dict[str, Any]:
    """The golden video model's arguments."""
    return json.loads((GOLDEN / "meta.json").read_text("utf-8"))["model"]


@pytest.fixture(scope="session")
def pickled(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden video model as a released file."""
    path = tmp_path_factory.mktemp("released") / "checkpoint.pth"
    torch.save(weights, path)
    return path
