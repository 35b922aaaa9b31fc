"""A recipe small enough to reason about: two linear networks, data that depend on (step, sample)
alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from starflow_v.training.engine.muon import Muon
from starflow_v.training.engine.recipe import Part, Share
from starflow_v.training.engine.settings import TrainerSettings


class ToyRecipe:
    """`teacher` learns a linear map; `pupil` learns the teacher's gradient with respect to its
    input."""

    def __init__(self, *, poison: range = range(0), batch_size: int = 8) -> None:
        torch.manual_seed(0)
        teacher = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Tanh(), nn.Linear(4, 1))
        teacher.eval()  # as pretrained networks come
        pupil = nn.Linear(3, 3)
        self.parts: Mapping[str, Part] = {
            "teacher": Part(
                module=teacher, optimizer=torch.optim.AdamW(teacher.parameters(), lr=0.05)
            ),
            "pupil": Part(module=pupil, optimizer=Muon(pupil.parameters(), lr=0.02, adam_lr=0.05)),
        }
        self.poison = poison
        self.size = batch_size
        self.seen: list[tuple[int, int]] = []

    def batch_size(self, step: int) -> int:
        return self.size

    def batches(self, shares: Iterable[Share]) -> Iterator[dict[str, Tensor]]:
        for share in shares:
            rows = []
            for number in share.samples:
                self.seen.append((share.step, number))
                generator = torch.Generator().manual_seed(1000 * share.step + number)
                rows.append(torch.randn(3, generator=generator))
            x = torch.stack(rows)
            if share.step in self.poison:
                x = x * float("nan")
            yield {"x": x, "y": x.sum(1, keepdim=True)}

    def backward(
        self,
        modules: Mapping[str, nn.Module],
        batch: dict[str, Tensor],
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        x = batch["x"].requires_grad_()
        loss = (modules["teacher"](x) - batch["y"]).square().mean()
        backward(loss)
        assert x.grad is not None
        target = x.grad * len(x)
        pupil_loss = (modules["pupil"](x.detach()) - target).square().mean()
        backward(pupil_loss)
        return {"loss": loss.detach(), "pupil_loss": pupil_loss.detach()}

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        (folder / "sample.txt").write_text(str(step))
        return {"bias": float(self.parts["pupil"].module.bias.sum())}

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True)


def toy_settings(folder: Path, **changes: object) -> TrainerSettings:
    """Quick settings: float32, every step logged."""
    values: dict[str, object] = {
        "folder": str(folder),
        "steps": 20,
        "warmup": 2,
        "precision": "float32",
        "log_every": 1,
        "save_every": 5,
        "evaluate_every": 10,
    }
    return TrainerSettings(**(values | changes))  # type: ignore[arg-type]
