"""What training cost, in a unit that the machine's load cannot blur."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingCost:
    """`training_macs`: samples that went forward and back through a model, times its MACs of one forward pass.

    `forward_macs` is the same for samples that only went forward (BatchNorm statistics, judging on the way), and
    is counted in nothing else. `processor_s` is that of all threads. `references` gives `training_macs` in multiples of
    training the reference once, which its training plan says; None where its weights were given.
    """

    training_macs: int = 0
    forward_macs: int = 0
    processor_s: float = 0.0
    references: float | None = 0.0

    def __add__(self, other: TrainingCost) -> TrainingCost:
        known = self.references is not None and other.references is not None
        return TrainingCost(
            self.training_macs + other.training_macs,
            self.forward_macs + other.forward_macs,
            self.processor_s + other.processor_s,
            self.references + other.references if known else None,  # type: ignore[operator]
        )
