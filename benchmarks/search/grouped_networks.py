"""Synthetic networks of several groups of weights, each with a knob: random size, knee, steepness and interactions.

    task = grouped_network(seed, knobs=8)
    task.metric(point), task.objective(point)          # without noise
    task.sensitivity()                                 # metric of untrained candidates, one knob at a time
    task.optimum()                                     # best objective that keeps the level, to 1e-4

Two and four knobs are group sparsities; eight are six sparsities, the rank fraction of a seventh group, and the bits of
all weights. The objective is the reference's size over the candidate's: 1 / (b + (1 - b) bits/32 sum share_i kept_i).
A group alone loses l_i(t) = (e^(k t) - 1) / (e^(k t_i) - 1) points of accuracy, t = -ln(kept): one point at its knee
t_i. Losses add up, with a_ij sqrt(l_i l_j) for each pair, and saturate at chance. The study in which the optimizer was
designed describes the same family; seeds and constants here are this benchmark's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize

from condensa_core.search import Knob, Point, Space, Value

DENSE, CHANCE = 0.93, 0.10
DROP = 0.01
NOISE = 0.001
BITS = (32, 16, 8, 4)
STRONGEST_SPARSITY = 0.98
LEAST_RANK = 0.05
# what an untrained candidate collapses at: knees at 60 % of the trained ones in t
UNTRAINED_KNEE = 0.6
PROBES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # unit coordinates at which the sensitivity of a knob is read


@dataclass(frozen=True)
class Group:
    """A group of weights: share of the size, knee in t, steepness k in t."""

    share: float
    knee: float
    steepness: float

    def lost(self, t: np.ndarray) -> np.ndarray:
        """Points of accuracy (in units of 1 %) lost by pruning this group alone to e^-t of its weights."""
        return np.expm1(self.steepness * t) / math.expm1(self.steepness * self.knee)


@dataclass(frozen=True)
class GroupedNetwork:
    """One task. `interactions` is a symmetric d x d matrix with a zero diagonal, over groups and then bits."""

    seed: int
    groups: tuple[Group, ...]
    ranked: bool
    bit_losses: tuple[float, ...] | None  # per entry of BITS, in points; None: bits are no knob
    overhead: float
    interactions: np.ndarray

    @cached_property
    def space(self) -> Space:
        """Sparsities, then the rank fraction, then the bits."""
        pruned = len(self.groups) - self.ranked
        knobs = [Knob(f"sparsity{i}", range=(0.0, STRONGEST_SPARSITY)) for i in range(pruned)]
        if self.ranked:
            knobs.append(Knob("rank", range=(LEAST_RANK, 1.0), strongest="low"))
        if self.bit_losses is not None:
            knobs.append(Knob("bits", choices=BITS))
        return Space(tuple(knobs))

    def metric(self, point: Point) -> float:
        """The noise-free accuracy."""
        t, level = self._read(point)
        return float(self._accuracy(t[None], level, self.groups)[0])

    def noisy(self, point: Point, rng: np.random.Generator) -> float:
        """The accuracy of one training."""
        return self.metric(point) + NOISE * float(rng.standard_normal())

    def objective(self, point: Point) -> float:
        """How much smaller than the reference."""
        t, level = self._read(point)
        return float(self._smaller(t[None], level)[0])

    def sensitivity(self) -> Mapping[str, list[tuple[Value, float]]]:
        """Per knob, accuracies of untrained candidates that vary it alone.

        Untrained, every knee comes earlier (UNTRAINED_KNEE), and it misjudges the groups against each other: knees by
        20 %, steepness by 30 % (log-normal).
        """
        rng = np.random.default_rng([self.seed, 1])
        groups = [
            Group(
                g.share,
                UNTRAINED_KNEE * g.knee * math.exp(0.2 * rng.standard_normal()),
                g.steepness * math.exp(0.3 * rng.standard_normal()),
            )
            for g in self.groups
        ]
        shown: dict[str, list[tuple[Value, float]]] = {}
        for index, knob in enumerate(self.space.knobs):
            if knob.name == "bits":
                assert self.bit_losses is not None
                wrong = math.exp(0.3 * rng.standard_normal()) / UNTRAINED_KNEE
                shown[knob.name] = [
                    (b, _saturated(np.array([wrong * lost]))[0]) for b, lost in zip(BITS, self.bit_losses, strict=True)
                ]
            else:
                values = [knob.value(unit) for unit in PROBES]
                t = np.array([_t_of(knob, value) for value in values])
                shown[knob.name] = list(zip(values, _saturated(groups[index].lost(t)).tolist(), strict=True))
        return {name: [(v, float(a) + NOISE * rng.standard_normal()) for v, a in rows] for name, rows in shown.items()}

    def optimum(self) -> float:
        """The best objective among the points that keep the level, over the continuum of the sparsities and rank."""
        return max(self._optimum_at(level) for level in (range(len(BITS)) if self.bit_losses else (0,)))

    def _optimum_at(self, level: int) -> float:
        d = len(self.groups)
        ends = [
            -math.log(LEAST_RANK) if self.ranked and i == d - 1 else -math.log1p(-STRONGEST_SPARSITY) for i in range(d)
        ]
        floor = DENSE - DROP

        def accuracy(t: np.ndarray) -> float:
            return float(self._accuracy(t[None], level, self.groups)[0])

        if accuracy(np.zeros(d)) < floor:
            return 0.0
        best = 0.0
        rng = np.random.default_rng([self.seed, 2])
        for _ in range(12):
            start = np.array([g.knee for g in self.groups]) * rng.uniform(0.2, 0.9, d)
            found = minimize(
                lambda t: -math.log(self._smaller(t[None], level)[0]),
                np.minimum(start, ends),
                method="SLSQP",
                bounds=[(0.0, end) for end in ends],
                constraints={"type": "ineq", "fun": lambda t: 100 * (accuracy(t) - floor)},
                options={"maxiter": 300, "ftol": 1e-9},
            )
            if accuracy(found.x) >= floor - 1e-7:
                best = max(best, float(self._smaller(found.x[None], level)[0]))
        return best

    def _read(self, point: Point) -> tuple[np.ndarray, int]:
        """t of every group, and the position among BITS."""
        knobs = [knob for knob in self.space.knobs if knob.name != "bits"]
        t = np.array([_t_of(knob, point[knob.name]) for knob in knobs])
        return t, BITS.index(int(point["bits"])) if self.bit_losses is not None else 0

    def _accuracy(self, t: np.ndarray, level: int, groups: tuple[Group, ...]) -> np.ndarray:
        lost = [group.lost(t[:, i]) for i, group in enumerate(groups)]
        if self.bit_losses is not None:
            lost.append(np.full(len(t), self.bit_losses[level]))
        losses = np.stack(lost, axis=1)  # n x d
        roots = np.sqrt(losses)
        pairs = 0.5 * np.einsum("ni,ij,nj->n", roots, self.interactions, roots)
        return _saturated(np.maximum(losses.sum(axis=1) + pairs, 0.0))

    def _smaller(self, t: np.ndarray, level: int) -> np.ndarray:
        shares = np.array([g.share for g in self.groups])
        kept = np.exp(-t) @ shares * (BITS[level] / BITS[0])
        return 1 / (self.overhead + (1 - self.overhead) * kept)


def grouped_network(seed: int, knobs: int) -> GroupedNetwork:
    """The task of a seed; `knobs` is 2, 4 or 8."""
    assert knobs in (2, 4, 8)
    rng = np.random.default_rng([seed, knobs, 0])
    count = knobs if knobs < 8 else 7
    shares = rng.dirichlet(np.full(count, 1.5))
    groups = tuple(
        Group(float(share), -math.log1p(-rng.uniform(0.3, 0.95)), math.exp(rng.uniform(math.log(2), math.log(10))))
        for share in shares
    )
    bit_losses = None
    if knobs == 8:
        bit_losses = (0.0, 0.0, float(rng.uniform(0.02, 0.4)), float(rng.uniform(0.4, 3.0)))
    pairs = np.triu(rng.uniform(-0.2, 0.6, (knobs, knobs)), 1)
    overhead = float(rng.uniform(0.02, 0.1))
    return GroupedNetwork(seed, groups, knobs == 8, bit_losses, overhead, pairs + pairs.T)


def _t_of(knob: Knob, value: Value) -> float:
    return -math.log(float(value)) if knob.name == "rank" else -math.log1p(-float(value))


def _saturated(lost: np.ndarray) -> np.ndarray:
    """The accuracy after losing this many points in total: linear at first, chance in the end."""
    span = DENSE - CHANCE
    return CHANCE + span / (1 + 0.01 * lost / span)
