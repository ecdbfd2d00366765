"""How much is learned, with every number filled in: the defaults are the product."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The L-C run and the fine-tuning after it. Iterations are mini-batches.

    `lr` is that of the first L step; step j uses lr * lr_decay^(j-1), constant inside a step. `mu` is None (chosen, see
    `schedule`) or (start, growth, cap). The first L step is twice as long as the others. Early stop: after `patience`
    settled steps with ||w - Delta(Theta)||/||w|| below `tolerance`.
    """

    steps: int = 12
    optimizer: str = "sgd"
    lr: float = 0.05
    lr_decay: float = 0.96
    momentum: float = 0.9
    weight_decay: float = 1e-4
    iterations: int = 100
    mu: tuple[float, float, float | None] | None = None
    patience: int = 2
    tolerance: float = 0.02
    finetune_iterations: int = 400
    finetune_lr: float = 0.05

    def lr_of(self, step: int) -> float:
        """Learning rate of L step `step` (from 1)."""
        return float(self.lr * self.lr_decay ** (step - 1))

    def iterations_of(self, step: int) -> int:
        """Mini-batches of L step `step` (from 1)."""
        return self.iterations * (2 if step == 1 else 1)
