from pathlib import Path

import pytest
import torch

from starflow_v.planner import DEVICES, devices, free_memory, measure_cpu
from starflow_v.planner.trace import Work

H100 = DEVICES["h100"]


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        (Work(flops=989e12), 1.0),
        (Work(flops=1.0, moved=3.35e12), 1.0),
        (Work(kernels=200_000), 1.0),
        (Work(flops=989e12, moved=6.7e12, kernels=1), 2.0),
    ],
)
def test_work_takes_as_long_as_its_narrowest_way(work: Work, seconds: float) -> None:
    assert H100.seconds(work, torch.bfloat16) == pytest.approx(seconds)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        H100.seconds(Work(), torch.float64)


def test_this_machine_can_be_measured() -> None:
    cpu = measure_cpu(torch.float32, seconds=0.01)
    assert 1e8 < cpu.flops[torch.float32] < 1e14
    assert 1e7 < cpu.bandwidth < 1e13
    assert cpu.memory == pytest.approx(free_memory(torch.device("cpu")), rel=0.5)


def test_a_container_has_its_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CGROUP", tmp_path)
    everything = free_memory(torch.device("cpu"))
    for name, content in {
        "memory.max": "1000000",
        "memory.current": "400000",
        "memory.stat": "anon 300000\ninactive_file 100000",
    }.items():
        (tmp_path / name).write_text(content)
    assert free_memory(torch.device("cpu")) == 700_000
    (tmp_path / "memory.max").write_text("max")
    assert free_memory(torch.device("cpu")) == pytest.approx(everything, rel=0.5)
