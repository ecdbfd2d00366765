"""In which coordinates a Gaussian process sees a search: those of this package, or the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.candidates import better_than_reference, settings_of
from condensa_core.search.coordinates import Floats, collapse, collapse_variance
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Knob, Point, Value

Coordinates = Literal["scaled", "raw"]
COORDINATES: Final[tuple[Coordinates, ...]] = ("scaled", "raw")


@dataclass(frozen=True)
class Evidence:
    """n values at n points of the unit cube (n x d), higher = better; `variances` None: the noise is inferred."""

    inputs: Floats
    values: Floats
    variances: Floats | None


class Frame(Protocol):
    """The coordinates of points and of metrics; the level and the points that are candidates."""

    @property
    def problem(self) -> LevelProblem: ...

    @property
    def level(self) -> float:
        """The value of a metric exactly at its bound."""
        ...

    @property
    def standardised(self) -> bool:
        """Whether values are to be centred and scaled before a fit."""
        ...

    @property
    def anchored(self) -> bool:
        """Whether the reference model is evidence."""
        ...

    def candidates(self) -> tuple[Point, ...]:
        """The points that may be tried; for one knob from mild to strong."""
        ...

    def worthwhile(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """Those of several knobs' points that may be tried."""
        ...

    def inputs(self, points: Sequence[Point]) -> Floats:
        """n points in the unit cube: n x d."""
        ...

    def point(self, place: Sequence[float]) -> Point:
        """The point of the space nearest to a place in the unit cube."""
        ...

    def evidence(self, observations: Sequence[Observation]) -> Evidence:
        """What successful observations say to a model."""
        ...


@dataclass(frozen=True)
class ScaledFrame:
    """The unit coordinates of the knobs and z = asinh(margin / drop), the reference model among the evidence.

    Only points whose objective beats the reference are candidates; for one knob the records. Noise is known per point.
    """

    problem: LevelProblem
    level: ClassVar[float] = 0.0
    standardised: ClassVar[bool] = False
    anchored: ClassVar[bool] = True

    def candidates(self) -> tuple[Point, ...]:
        if len(self.problem.space.knobs) > 1:
            return self.worthwhile(settings_of(self.problem))
        return tuple({self.problem.knob.name: record.value} for record in self.problem.records)

    def worthwhile(self, points: Sequence[Point]) -> tuple[Point, ...]:
        return better_than_reference(self.problem, points)

    def inputs(self, points: Sequence[Point]) -> Floats:
        rows = [self.problem.units(point) for point in points]
        return np.array(rows, float).reshape(-1, len(self.problem.space.knobs))

    def point(self, place: Sequence[float]) -> Point:
        return self.problem.space.decode(place)

    def evidence(self, observations: Sequence[Observation]) -> Evidence:
        problem = self.problem
        margins = [problem.margin(problem.reference_metric), *(problem.margin(_metric(o)) for o in observations)]
        sds = [0.0, *(problem.sd(o) for o in observations)]  # the level is defined from the reference
        reference = np.zeros((1, len(problem.space.knobs)))
        return Evidence(
            np.vstack([reference, self.inputs([o.point for o in observations])]),
            np.array([collapse(margin, problem.drop) for margin in margins]),
            np.array([collapse_variance(m, sd, problem.drop) for m, sd in zip(margins, sds, strict=True)]),
        )


@dataclass(frozen=True)
class RawFrame:
    """Knob values on a linear scale and the metric as it is, standardised, with inferred noise: as published.

    Every setting is a candidate, whatever its objective, and the reference model is no evidence.
    Source: Joseph et al., arXiv 1911.02497v1 (a Gaussian process over sparsity and accuracy).
    """

    problem: LevelProblem
    standardised: ClassVar[bool] = True
    anchored: ClassVar[bool] = False

    @property
    def level(self) -> float:
        return self._better(self.problem.level)

    def candidates(self) -> tuple[Point, ...]:
        return settings_of(self.problem)

    def worthwhile(self, points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple(points)

    def inputs(self, points: Sequence[Point]) -> Floats:
        knobs = self.problem.space.knobs
        rows = [[_linear(knob, point[knob.name]) for knob in knobs] for point in points]
        return np.array(rows, float).reshape(-1, len(knobs))

    def point(self, place: Sequence[float]) -> Point:
        knobs = self.problem.space.knobs
        return {knob.name: _from_linear(knob, share) for knob, share in zip(knobs, place, strict=True)}

    def evidence(self, observations: Sequence[Observation]) -> Evidence:
        values = np.array([self._better(_metric(o)) for o in observations])
        return Evidence(self.inputs([o.point for o in observations]), values, None)

    def _better(self, metric: float) -> float:
        return metric if self.problem.better == "higher" else -metric


def frame_named(coordinates: str, problem: LevelProblem) -> Frame:
    """The frame of a problem; UsageError for an unknown name."""
    if coordinates == "scaled":
        return ScaledFrame(problem)
    if coordinates == "raw":
        return RawFrame(problem)
    raise UsageError(f"no coordinates are called {coordinates!r}", hint="known: " + ", ".join(COORDINATES))


def one_knob_frame(method: str, problem: LevelProblem, coordinates: str) -> Frame:
    """`frame_named` for a method that walks a single coordinate; UsageError for a problem with several knobs."""
    if len(problem.space.knobs) > 1:
        names = ", ".join(problem.space.names)
        raise UsageError(
            f"search method {method!r} turns one knob, not {len(problem.space.knobs)} ({names})",
            hint="leave out search.method, which then fits the number of knobs",
        )
    return frame_named(coordinates, problem)


def _metric(observation: Observation) -> float:
    assert observation.metric is not None, "only successful observations are evidence"
    return observation.metric


def _linear(knob: Knob, value: Value) -> float:
    """The value's place between both ends of the knob, 0..1 from the mild end; that of a choice by position."""
    if knob.choices is not None:
        share = knob.choices.index(value) / max(len(knob.choices) - 1, 1)
    else:
        assert knob.range is not None
        low, high = knob.range
        share = (float(value) - low) / (high - low)
    return share if knob.strongest == "high" else 1 - share


def _from_linear(knob: Knob, share: float) -> Value:
    """The knob's value nearest to a place between its ends."""
    from_low = share if knob.strongest == "high" else 1 - share
    if knob.choices is not None:
        return knob.choices[round(from_low * (len(knob.choices) - 1))]
    assert knob.range is not None
    low, high = knob.range
    return knob.value(knob.unit(low + from_low * (high - low)))  # on the step pattern, if there is one
