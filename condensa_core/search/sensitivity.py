"""How much each knob alone damages the untrained model: what decides who gives how much when several share a bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.coordinates import Floats
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Knob, Value

Readings = Mapping[str, Sequence[tuple[Value, float]]]

_CLEAR_SD = 2.0  # a loss within two standard deviations of the metric's noise says only that there is little of it
_SATURATED = 5.0  # damage above which most of the metric is lost, and readings tell little more than that
_SLOPES = (1.0, 40.0)  # of log damage per unit of strength: two noisy readings may say anything
_TYPICAL_SLOPE = 8.0  # a convention where one reading has to do, or none: e^4 from the reference to half strength


@dataclass(frozen=True)
class KnobDamage:
    """The log damage of one knob over its unit coordinate: piecewise linear through `logs` at `units`, ascending.

    Beyond its ends it goes on with the slope of the last segment; the slopes are `milder` and `stronger`.
    """

    units: Floats
    logs: Floats
    milder: float
    stronger: float

    def log_damage(self, units: Floats) -> Floats:
        """n coordinates -> n."""
        inside = np.interp(units, self.units, self.logs)
        below, above = np.minimum(units - self.units[0], 0.0), np.maximum(units - self.units[-1], 0.0)
        return inside + self.milder * below + self.stronger * above


@dataclass(frozen=True)
class Sensitivity:
    """The damage of every knob of a space, and over what span of the metric it is counted.

    A loss l of the metric, reference to measured, is the damage D = l / (span - l), with `span` the distance from the
    reference to chance: D is l / span while little is lost and grows without end where the metric only saturates, so
    that damages of different knobs can be added and extrapolated. `span` is in units of the problem's drop.
    """

    knobs: tuple[KnobDamage, ...]
    span: float

    def log_damages(self, units: Floats) -> Floats:
        """The log damage each knob does alone: n x d -> n x d."""
        return np.stack([knob.log_damage(units[:, i]) for i, knob in enumerate(self.knobs)], axis=1)

    def damage(self, units: Floats) -> Floats:
        """The damage of n points, knobs added up: n x d -> n. The reference has none."""
        at_reference = np.exp(self.log_damages(np.zeros((1, units.shape[1]))))
        return np.maximum(np.exp(self.log_damages(units)) - at_reference, 0.0).sum(axis=1)


def typical_sensitivity(problem: LevelProblem) -> Sensitivity:
    """What is assumed of knobs that nobody measured: all alike, the level met by any alone at half its range."""
    return measured_sensitivity(problem, {})


def measured_sensitivity(problem: LevelProblem, readings: Readings) -> Sensitivity:
    """The sensitivity that metrics of untrained candidates show: per knob, (value, metric) with the others at rest.

    Two to six values per knob do; one that was not measured gets the median of the others. More strength is taken to do
    no less damage, except among unordered choices. UsageError for a knob or value outside the space, or a metric that
    is not finite.
    """
    known = {knob.name for knob in problem.space.knobs}
    if unknown := sorted(set(readings) - known):
        raise UsageError(f"sensitivity of {unknown[0]!r}: no such knob", hint="known: " + ", ".join(sorted(known)))
    losses = {knob.name: _losses(problem, knob, readings.get(knob.name, ())) for knob in problem.space.knobs}
    worst = max((float(lost.max()) for _, lost in losses.values() if len(lost)), default=0.0)
    span = max(1.05 * worst, 10.0)  # the worst reading is close to chance if any is; never so near that D explodes
    noise = _CLEAR_SD * problem.default_sd / problem.drop
    shown = {name: _through(units, lost, span, max(noise, 0.02)) for name, (units, lost) in losses.items() if len(lost)}
    typical = _typical(list(shown.values()), span)
    return Sensitivity(tuple(shown.get(knob.name, typical) for knob in problem.space.knobs), span)


def _losses(problem: LevelProblem, knob: Knob, readings: Sequence[tuple[Value, float]]) -> tuple[Floats, Floats]:
    """Unit coordinates, ascending, and losses in units of the drop, made non-decreasing."""
    if any(not math.isfinite(metric) for _, metric in readings):
        raise UsageError(f"sensitivity of {knob.name!r}: metrics must be finite numbers")
    reference = problem.margin(problem.reference_metric)
    losses = [(reference - problem.margin(metric)) / problem.drop for _, metric in readings]
    pairs = sorted(zip((knob.unit(value) for value, _ in readings), losses, strict=True))
    units, lost = np.array([u for u, _ in pairs]), np.array([x for _, x in pairs])
    return units, np.maximum.accumulate(lost) if len(lost) else lost


def _through(units: Floats, lost: Floats, span: float, noise: float) -> KnobDamage:
    """The log damage through the readings that say something: above the noise and short of chance."""
    damages = np.maximum(lost, noise) / np.maximum(span - lost, span / (1 + 2 * _SATURATED))
    clear = (lost > noise) & (damages < _SATURATED)
    if not clear.any():  # harmless throughout, or ruined at the first reading: one reading has to do
        index = int(np.argmax(lost > noise)) if (lost > noise).any() else len(lost) - 1
        clear = np.arange(len(lost)) == index
    elif (ruined := np.flatnonzero(damages >= _SATURATED)).size and clear.sum() == 1:
        clear[ruined[0]] = True  # the only sign of how steep it gets
    at, logs = units[clear], np.log(damages[clear])
    if len(at) == 1:
        return KnobDamage(at, logs, _TYPICAL_SLOPE, _TYPICAL_SLOPE)
    slopes = np.clip(np.diff(logs) / np.maximum(np.diff(at), 1e-9), *_SLOPES)
    return KnobDamage(at, logs, float(slopes[0]), float(slopes[-1]))


def _typical(shown: Sequence[KnobDamage], span: float) -> KnobDamage:
    units = np.linspace(0.0, 1.0, 11)
    if not shown:
        return KnobDamage(units, -math.log(span) + _TYPICAL_SLOPE * (units - 0.5), _TYPICAL_SLOPE, _TYPICAL_SLOPE)
    logs = np.median([knob.log_damage(units) for knob in shown], axis=0)
    return KnobDamage(units, logs, _TYPICAL_SLOPE, _TYPICAL_SLOPE)
