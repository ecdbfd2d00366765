"""Random accuracy curves with a known crossing, and the tasks that a search is judged on.

`curve(seed)` draws a curve of one of five laws; `task(seed, index)` adds a drop, a noise level and an objective. Seeds
are the caller's: whoever tunes a search on some of them judges it on others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from families import LAWS, Array, Law

from condensa_core.randomness import Seed

STRONGEST: Final = 0.995  # the strongest sparsity that a search may try
POINT: Final = 0.01  # a knee is where one point of accuracy is lost
CHANCES: Final = (0.1, 0.01, 0.001)
DROPS: Final = (0.005, 0.01, 0.02, 0.05)
NOISES: Final = (0.0, 0.001, 0.003, 0.005)


@dataclass(frozen=True)
class Curve:
    """Noise-free accuracy against sparsity: reference + bump - slope - loss.

    It may rise by up to half a point before the knee; wherever it falls below the reference it goes on falling.
    `curve(s)` takes a sparsity in [0, 1) or an array of them.
    """

    law: Law
    start: float
    reference: float
    chance: float
    knee: float
    bump: float
    slope: float

    @property
    def family(self) -> str:
        return self.law.family

    def __call__(self, sparsity: float | Array) -> Array:
        s = np.asarray(sparsity, dtype=np.float64)
        before = np.clip(s / self.knee, 0, 1)
        bump = 4 * self.bump * before * (1 - before)  # a parabola that is over at the knee
        lost = self.law.loss(s, self.start) - self.law.loss(np.zeros(1), self.start)[0]
        return np.maximum(self.reference + bump - self.slope * s - lost, self.chance)

    def earlier(self, shift: float) -> Curve:
        """The curve whose knee comes `shift` earlier in -ln(1 - s), as that of a shorter training would."""
        knee = max(1 - (1 - self.knee) * float(np.exp(shift)), 0.01)
        return replace(self, knee=knee, start=_start(self.law, knee))

    def crossing(self, level: float, strongest: float = STRONGEST) -> float:
        """The sparsity where the accuracy falls below `level` < reference, by bisection; `strongest` if it never does.

        The level is crossed once, because what falls below the reference goes on falling.
        """
        if float(self(strongest)) >= level:
            return strongest
        low, high = 0.0, strongest
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if float(self(middle)) >= level else (low, middle)
        return low


def curve(seed: int, *, law: int | None = None) -> Curve:
    """The curve of a seed; `law` (0..4) fixes its family.

    The knee lies in [0.3, 0.99], half the time uniform in s, otherwise in log-density. Chance is 10, 1 or 0.1 %, the
    reference's accuracy 65 to 97 % (above 80 % for ten classes). Half the curves rise by up to 0.5 points, half lose up
    to 0.3 points in a straight line over all sparsities.
    """
    draw = Seed(seed).numpy_generator("curve")
    chance = CHANCES[int(draw.integers(len(CHANCES)))]
    reference = float(draw.uniform(0.8, 0.97) if chance == CHANCES[0] else draw.uniform(0.65, 0.85))
    if draw.random() < 0.5:
        knee = float(draw.uniform(0.3, 0.99))
    else:
        knee = float(-np.expm1(-draw.uniform(-np.log(0.7), -np.log(0.01))))
    bump = float(draw.uniform(0, 0.005)) * (draw.random() < 0.5)
    slope = float(draw.uniform(0, 0.003)) * (draw.random() < 0.5)
    drawn = LAWS[int(draw.integers(len(LAWS))) if law is None else law](draw, reference - chance, 1 - reference)

    return Curve(drawn, _start(drawn, knee), reference, chance, knee, bump, slope)


def _start(law: Law, knee: float) -> float:
    """Where the fall must begin for a point to be lost at the knee."""
    low, high = law.starts
    for _ in range(9):  # each turn cuts the interval to a hundredth
        starts = np.linspace(low, high, 101)
        lost = law.loss(np.array([[knee]]), starts) - law.loss(np.zeros((1, 1)), starts)
        # with a growing start the loss at the knee grows (all was lost at once before), then falls: the last that loses
        last = int(np.flatnonzero(lost[0] >= POINT)[-1])
        low, high = float(starts[last]), float(starts[min(last + 1, 100)])
    return low


@dataclass(frozen=True)
class Task:
    """A curve, how much accuracy may be lost, how noisily it is read, and what a sparsity is worth.

    The objective of a smooth task is the throughput 1 / ((1 - overhead)(1 - s) + overhead) relative to the reference.
    """

    index: int
    seed: int
    curve: Curve
    drop: float
    noise: float
    overhead: float

    @property
    def level(self) -> float:
        return self.curve.reference - self.drop

    @property
    def crossing(self) -> float:
        return self.curve.crossing(self.level)

    def throughput(self, sparsity: float | Array) -> Array:
        return 1 / ((1 - self.overhead) * (1 - np.asarray(sparsity, dtype=np.float64)) + self.overhead)

    def reading(self, sparsity: float) -> float:
        """The accuracy as measured: the same noise whenever, and by whomever, the same sparsity is tried."""
        noise = Seed(self.seed).numpy_generator("noise", f"{sparsity:.9f}").normal()
        return float(self.curve(sparsity)) + self.noise * float(noise)


def task(seed: int, index: int) -> Task:
    """Task `index` of a benchmark's seed; families, noise levels and drops go round until all combinations are met."""
    own = Seed(seed).child("task", index)
    turn = index // len(LAWS)
    drop = DROPS[(turn + turn // len(NOISES)) % len(DROPS)]
    overhead = float(own.numpy_generator("objective").uniform(0.02, 0.2))
    drawn = curve(own.root, law=index % len(LAWS))
    return Task(index, own.root, drawn, drop, NOISES[turn % len(NOISES)], overhead)
