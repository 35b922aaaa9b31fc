"""How a run is driven, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starflow_v.training.engine.precision import check_precision


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """How a run is driven, whatever it trains."""

    folder: str
    """Log, checkpoints and samples go here; a run resumes from what it finds here."""
    steps: int
    """Optimizer steps in all."""
    seed: int = 0
    """With the step, the source of all randomness."""
    warmup: int = 100
    """Steps until the peak learning rate."""
    final_lr: float = 0.02
    """Learning rate at the end, as a share of the peak."""
    accumulation: int = 1
    """Micro batches a step."""
    precision: str = "auto"
    """"bf16": autocast in the networks' forward passes; "float32"; "auto": bf16 where the device
    multiplies it, not where it is emulated."""
    outlier: float = 10.0
    """A gradient norm over this multiple of the running median is skipped."""
    max_not_finite: int = 20
    """Gradients in a row that are not finite after which the run gives up."""
    log_every: int = 10
    """Steps between log lines."""
    save_every: int = 500
    """Steps between checkpoints."""
    evaluate_every: int = 500
    """Steps between evaluations and samples."""
    keep: int = 2
    """Checkpoints that stay on the disk."""
    max_seconds: float | None = None
    """Stop (with a checkpoint) after this time; starting again goes on."""
    shard: bool = False
    """Share out parameters, gradients and optimizers among processes (FSDP2); else each has all."""
    compile: bool = False
    """Compile the networks (torch.compile): pays on GPUs, in long runs."""
    threads: int | None = None
    """CPU threads of torch; None leaves its default."""
    tensorboard: bool = False
    """Also write TensorBoard files."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases (the extra `wandb`)."""

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return Path(self.folder) / "checkpoints"

    def __post_init__(self) -> None:
        counts = (
            "steps",
            "accumulation",
            "log_every",
            "save_every",
            "evaluate_every",
            "keep",
            "max_not_finite",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_precision(self.precision)
