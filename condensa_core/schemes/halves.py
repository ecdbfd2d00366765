"""The best two clusters of numbers, without dynamic programming: one cut, and a bound on what each bucket can gain."""

from __future__ import annotations

import numpy as np

from condensa_core.schemes.buckets import Atoms, Buckets
from condensa_core.schemes.line import Line


def best_halves(numbers: Buckets, atoms: Atoms) -> tuple[Line, int]:
    """The cut of `atoms` (all of the numbers, with at least two values) into two runs that cost least, on its line.

    With W and S the weight and the moment of what lies left of a cut, V and T of what lies right of it, the two runs
    cost sum w x^2 - S^2 / W - T^2 / V. Moments are about the mean, so that S + T = 0; each side is summed by itself,
    because one may weigh less than the other's rounding. The cuts between buckets show what can be gained; only buckets
    inside which a cut could gain more are opened. Of equally good cuts the first is taken.
    """
    line = Line.of(atoms, about_zero=False)
    hopeful = atoms.divisible & (_most_inside(line) > _between(line).max(initial=0))
    if hopeful.any():
        line = Line.of(atoms.with_points(numbers.points(atoms.bucket[hopeful])), about_zero=False)
    return line, 1 + int(_between(line).argmax())


def _between(line: Line) -> np.ndarray:
    """What the cuts between groups gain, from the first to the last."""
    return _gains(line.sums[:2, 1:-1], line.rest[:2, 1:-1])


def _most_inside(line: Line) -> np.ndarray:
    """For each group, a bound on what cuts inside it gain.

    A cut takes the smallest members, of weight v in all, over to its left, and S, which is never above zero, from S_0
    to S_0 + v l at the lowest, where it gains most, l being the lower bound of the group. Along S_0 + v l the gain is a
    sum of squares over linear functions of v, which is convex: it is greatest for v = 0, or for all of the group.
    """
    nothing = _gains(line.sums[:2, :-1], line.rest[:2, :-1])
    moved = line.atoms.mass * np.stack((np.ones(len(line)), line.atoms.low - line.origin))
    everything = _gains(line.sums[:2, :-1] + moved, line.rest[:2, 1:] + (line.groups[:2] - moved))
    return np.maximum(nothing, everything)


def _gains(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """S^2 / W + T^2 / V of the weight and the moment of both sides.

    Of a side without weight nothing if its moment is zero, else infinite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = np.stack((left[1] ** 2 / left[0], right[1] ** 2 / right[0]))
    return np.nan_to_num(sides, nan=0.0, posinf=np.inf).sum(0)
