"""bfloat16 where it is fast, by default, and nowhere else."""

import pytest
import torch

from starflow_v.training.engine.precision import mixed_precision
from starflow_v.training.engine.settings import TrainerSettings


@pytest.mark.parametrize(
    ("capability", "chosen"), [("AVX2", "no"), ("AVX512", "bf16"), ("DEFAULT", "no")]
)
def test_a_processor_computes_in_what_it_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: str, chosen: str
) -> None:
    """On a processor with AVX2 a step of the embedded model took 86 seconds instead of 2.7."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert mixed_precision("auto") == chosen
    assert mixed_precision("bf16") == "bf16"
    assert mixed_precision("float32") == "no"


@pytest.mark.parametrize("precision", ["no", "False", "fp16"])
def test_another_one_is_refused(precision: str) -> None:
    """float32 was called "no", which YAML reads as False."""
    with pytest.raises(ValueError, match="one of auto, bf16, float32, got"):
        TrainerSettings(folder="run", steps=1, precision=precision)
