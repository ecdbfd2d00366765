"""The objective over several knobs, known at measured points and interpolated between them, or known everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Point, Space, point_key

_LENGTHS = (0.15, 0.3, 0.5, 0.8, 1.3, 2.0, 4.0)
_NOISES = (1e-4, 1e-3, 1e-2)  # sd of log objectives, next to the residual's amplitude
_FEWEST = 3  # measured points below which nothing is interpolated


@dataclass(frozen=True)
class ObjectiveSurface:
    """The objective of untrained candidates over a space of several knobs, beside the reference model's.

    Either `function` gives it at any point (a count, such as size or MACs), or `measured` holds points and what was
    measured there (None: could not be); between them log(objective) is a linear function of the unit coordinates plus
    a Matern-5/2 Gaussian process. Objectives are positive. `margin` is the relative gain that measurement noise could
    fake.
    """

    space: Space
    reference: float
    measured: tuple[tuple[Point, float | None], ...] = ()
    function: Callable[[Point], float] | None = field(default=None, compare=False)
    direction: Literal["maximize", "minimize"] = "maximize"
    margin: float = 0.0
    name: str = "objective"

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise UsageError(f"{self.name}: direction must be maximize or minimize, got {self.direction!r}")
        numbers = [("the reference", self.reference), *((dict(p), o) for p, o in self.measured if o is not None)]
        for place, number in numbers:
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"{self.name}: objectives must be positive numbers, got {number} at {place}")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"{self.name}: the noise margin must be at least 0, got {self.margin}")
        if self.function is None and sum(o is not None for _, o in self.measured) < _FEWEST:
            raise UsageError(f"{self.name}: give a function of the point, or at least {_FEWEST} measured points")

    def gain(self, objective: float, over: float) -> float:
        """By how much `objective` is better than `over`: 0.5 is half as fast again, or two thirds of the size."""
        return (objective / over if self.direction == "maximize" else over / objective) - 1.0

    def at(self, point: Point) -> float | None:
        """The objective at this very point: counted, or measured there; None where it was not."""
        if self.function is not None:
            return self.function(point)
        return self._by_key.get(point_key(point))

    def estimate(self, units: Floats) -> Floats:
        """The objective at n points of the unit cube: n x d -> n. Rows between a knob's values stand for the nearest.

        Near a measured point this is what was measured there; with a function nothing is estimated.
        """
        if self.function is not None:
            function = self.function
            return np.array([function(self.space.decode(row)) for row in units.tolist()], dtype=np.float64)
        return np.exp(self._interpolation(units))

    def to_record(self) -> dict[str, Any]:
        """JSON values of what was measured, from which `from_record` makes an equal surface of the same space."""
        return {
            "measured": [[dict(point), objective] for point, objective in self.measured],
            "reference": self.reference,
            "direction": self.direction,
            "margin": self.margin,
            "name": self.name,
        }

    @classmethod
    def from_record(cls, space: Space, record: Mapping[str, Any]) -> ObjectiveSurface:
        """The surface that `to_record` described."""
        measured = tuple((point, objective) for point, objective in record["measured"])
        return cls(space, record["reference"], measured, None, record["direction"], record["margin"], record["name"])

    @cached_property
    def _by_key(self) -> Mapping[str, float | None]:
        return {point_key(point): objective for point, objective in self.measured}

    @cached_property
    def _interpolation(self) -> _LogInterpolation:
        known = [(self.space.encode(point), math.log(objective)) for point, objective in self.measured if objective]
        rows = np.array([[0.0] * len(self.space.knobs), *(row for row, _ in known)])
        return _LogInterpolation(rows, np.array([math.log(self.reference), *(log for _, log in known)]))


class _LogInterpolation:
    """Least squares plus a Gaussian process of what they leave; hyper-parameters by marginal likelihood on a grid.

    Numpy and not BoTorch: it is fitted once, to up to some hundred points, and must not make the search load torch.
    """

    def __init__(self, rows: Floats, logs: Floats) -> None:
        self._rows = rows
        n, d = rows.shape
        ridge = 1e-6 * n * np.eye(d + 1)
        basis = np.hstack([np.ones((n, 1)), rows])
        self._linear = np.linalg.solve(basis.T @ basis + ridge, basis.T @ logs)
        left = logs - basis @ self._linear
        best = -math.inf
        for length in _LENGTHS:
            kernel = _matern(rows, rows, length)
            for noise in _NOISES:
                factor = np.linalg.cholesky(kernel + (noise**2 + 1e-10) * np.eye(n))
                half = np.linalg.solve(factor, left)
                amplitude = max(float(half @ half) / n, 1e-16)
                evidence = -0.5 * n * math.log(amplitude) - float(np.log(np.diag(factor)).sum())
                if evidence > best:
                    best, self._length = evidence, length
                    self._weights = np.linalg.solve(factor.T, half)

    def __call__(self, units: Floats) -> Floats:
        straight = self._linear[0] + units @ self._linear[1:]
        return straight + _matern(units, self._rows, self._length) @ self._weights


def _matern(a: Floats, b: Floats, length: float) -> Floats:
    """Matern-5/2 with unit amplitude: n x d, m x d -> n x m."""
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    r = np.sqrt(5.0 * np.maximum(square, 0.0)) / length
    return (1.0 + r + r**2 / 3.0) * np.exp(-r)
