"""What is written tensor by tensor reads like what the libraries write at once."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from starflow_v.checkpoints.writing import DTYPES, total_bytes, write_weights


def meta(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def reader(tensors: dict[str, Tensor]):
    def read(names: Sequence[str]) -> Iterator[Tensor]:
        return (tensors[name] for name in names)

    return read


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {
        "matrix": torch.arange(6).reshape(2, 3).to(dtype),
        "turned": torch.arange(6).reshape(2, 3).to(dtype).T,
        "number": torch.tensor(1).to(dtype),
        "nothing": torch.zeros(0, 3, dtype=dtype),
    }
    assert write_weights(tmp_path, "x", meta(tensors), reader(tensors), limit=10**6) == 1
    loaded = load_file(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == dtype and torch.equal(loaded[name], tensor)


def test_dtypes_are_those_of_the_layout(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(5), "b": torch.randn(3)}
    layout = {"a": torch.empty(5, dtype=torch.bfloat16, device="meta"), "b": meta(tensors)["b"]}
    write_weights(tmp_path, "x", layout, reader(tensors), limit=10**6)
    loaded = load_file(tmp_path / "x.safetensors")
    assert torch.equal(loaded["a"], tensors["a"].bfloat16())
    assert torch.equal(loaded["b"], tensors["b"])


def test_large_weights_are_split_and_listed(tmp_path: Path) -> None:
    tensors = {name: torch.full((10,), float(i)) for i, name in enumerate("abcde")}
    tensors["large"] = torch.zeros(100)
    count = write_weights(tmp_path, "model", meta(tensors), reader(tensors), limit=80)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert files == [f"model-{i:05d}-of-00004.safetensors" for i in (1, 2, 3, 4)]
    assert count == 4
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text("utf-8"))
    assert index["metadata"]["total_size"] == total_bytes(tensors) == 600
    for name, tensor in tensors.items():
        with safe_open(tmp_path / index["weight_map"][name], framework="pt") as opened:
            assert torch.equal(opened.get_tensor(name), tensor)


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, 70000.0])}
    layout = {"a": torch.empty(2, dtype=torch.float16, device="meta")}
    with pytest.raises(ValueError, match="a holds numbers that are not finite, or too large"):
        write_weights(tmp_path, "x", layout, reader(tensors), limit=100)
