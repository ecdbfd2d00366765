"""How hard the L step pulls towards the compressed weights: the mu ladder, chosen so that nobody has to tune it.

What a value of mu does depends on the optimizer: one L step of n iterations with step size eta and momentum m shrinks
w - Delta(Theta), where the loss is flat, by exp(-pull) with

    pull = mu * eta * n / (1 - m).

The ladder is therefore laid in `pull`, which has no unit and means the same for every model. Fixed values of mu do not
transfer: the 1e-3 * 1.1^k of Condensa's examples, with short L steps, has a pull near zero and silently returns direct
compression.

How the pull should grow depends on what a code leaves free. Where survivors or factors stay free numbers, a steep
ladder holds them back as much as what must go, and they stop improving before they are good; a gentle one leaves a
small gap, which fine-tuning at fixed structure closes. Code books, signs and grids leave next to nothing to fine-tune:
L-C itself must close the gap, so the ladder ends firm, and it starts near nothing, so that assignments are not frozen
before training has moved the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from condensa_core.errors import UsageError

# First and last pull of the default ladder: an L step closes 63 % of the gap at first, 86 % at last.
# Measured with `benchmarks/mu_schedule.py`.
PULL_START = 1.0
PULL_END = 2.0
# The same where next to nothing is free: 10 % at first, 98 % at last. Chosen by training error on the code books of
# `benchmarks/lenet300.py`: 3.0 % at 0.1 to 4, 3.4 % at 0.1 to 10, 8.1 % at 0.5 to 8, 9.6 % at 1 to 8.
FIRM_PULL_START = 0.1
FIRM_PULL_END = 4.0


@dataclass(frozen=True)
class StepSize:
    """What the optimizer does with a gradient: `lr` per iteration, `momentum`, and `iterations` in one L step."""

    lr: float
    momentum: float
    iterations: int


def stable_mu(lr: float, momentum: float) -> float:
    """Half the largest mu for which (Nesterov) momentum SGD on the penalty alone does not oscillate apart.

    The bound is lr * mu < 2 (1 + m) / (1 + 2 m). Source: the characteristic roots of Nesterov's recursion on a
    quadratic; checked against the simulated recursion in the tests.
    """
    return (1 + momentum) / (1 + 2 * momentum) / lr


def default_ladder(sizes: list[StepSize], *, firm: bool = False) -> list[float]:
    """mu of each L step, one for each entry of `sizes`: pulls from PULL_START to PULL_END in geometric progression.

    With `firm` from FIRM_PULL_START to FIRM_PULL_END: for codes that leave next to nothing to fine-tune. Never above
    `stable_mu` of the step. A single step gets the geometric mean of both pulls.
    """
    n = len(sizes)
    first, last = (FIRM_PULL_START, FIRM_PULL_END) if firm else (PULL_START, PULL_END)
    pulls = [first * (last / first) ** (j / (n - 1)) for j in range(n)] if n > 1 else [math.sqrt(first * last)]
    return [
        min(pull * (1 - s.momentum) / (s.lr * s.iterations), stable_mu(s.lr, s.momentum))
        for pull, s in zip(pulls, sizes, strict=True)
    ]


def explicit_ladder(start: float, growth: float, cap: float | None, steps: int) -> list[float]:
    """mu_j = start * growth^(j-1), at most `cap`, for j = 1..steps. Raises UsageError unless start > 0, growth >= 1."""
    if start <= 0 or growth < 1:
        raise UsageError(f"mu needs start > 0 and growth >= 1, got start {start:g}, growth {growth:g}")
    return [min(start * growth**j, cap if cap is not None else math.inf) for j in range(steps)]
