"""The journal: one JSON line a record, and Weights & Biases only where it is asked for."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from starflow_v.training.engine.journal import LOG_NAME, Journal


class FakeWandb:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.begun: list[dict] = []
        self.logged: list[tuple[int, dict]] = []
        self.ended: list[int] = []

    def init(self, **options: object) -> SimpleNamespace:
        self.begun.append(options)
        return SimpleNamespace(
            log=lambda numbers, step: self.logged.append((step, numbers)),
            finish=lambda exit_code: self.ended.append(exit_code),
        )


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_a_line_for_each_record_null_where_not_finite(tmp_path: Path, wandb: FakeWandb) -> None:
    with Journal(tmp_path, steps=2, done=0) as journal:
        journal.record(1, {"loss": 0.5})
        journal.record(2, {"loss": float("nan")}, event="evaluation")
    lines = [json.loads(line) for line in (tmp_path / LOG_NAME).read_text().splitlines()]
    assert lines == [
        {"event": "step", "step": 1, "loss": 0.5},
        {"event": "evaluation", "step": 2, "loss": None},
    ]
    assert not wandb.begun


def test_weights_and_biases(tmp_path: Path, wandb: FakeWandb) -> None:
    for step in (1, 2):  # the second time resumed
        with Journal(tmp_path, steps=2, done=step - 1, wandb="flows") as journal:
            journal.record(step, {"loss": 0.5})
    assert wandb.logged == [(1, {"step/loss": 0.5}), (2, {"step/loss": 0.5})]
    first, second = wandb.begun
    assert first == second
    assert (first["project"], first["name"], first["resume"]) == ("flows", tmp_path.name, "allow")
    assert wandb.ended == [0, 0]


def test_a_run_that_fails_is_marked(tmp_path: Path, wandb: FakeWandb) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Journal(tmp_path, steps=2, done=0, wandb="flows"),
    ):
        _ = 1 / 0
    assert wandb.ended == [1]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match=r"pip install starflow_v\[wandb\]"):
        Journal(tmp_path, steps=2, done=0, wandb="flows")


def test_a_silent_journal_does_nothing(tmp_path: Path, wandb: FakeWandb) -> None:
    with Journal(tmp_path / "run", steps=2, done=0, wandb="flows", silent=True) as journal:
        journal.advance()
        journal.record(1, {"loss": 0.5})
    assert not (tmp_path / "run").exists() and not wandb.begun
