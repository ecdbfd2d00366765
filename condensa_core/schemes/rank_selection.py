"""Which rank each matrix gets: the least error for what the ranks cost, exactly.

Ranks are few and errors of all of them come with one decomposition, so both problems are searched whole: the penalised
one by enumeration, matrix by matrix; the one with a budget, a multiple-choice knapsack over all matrices, by dynamic
programming over the trade-offs that no other beats, fenced in by what mixed ranks could reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_ROUNDING: Final = 1e-12  # relative; sums of the same numbers in another order are no different
_BEAM: Final = 256  # trade-offs kept while looking for a first good solution


@dataclass(frozen=True, eq=False)
class Options:
    """What one matrix may become: `ranks` with their costs and squared errors, all >= 0 and finite."""

    ranks: tuple[int, ...]
    costs: Floats
    errors: Floats

    def without_zero(self) -> Options:
        """Without rank 0, unless nothing else is left or nothing is lost by it."""
        kept = [i for i, rank in enumerate(self.ranks) if rank > 0 or self.errors[i] == 0]
        return Options(tuple(self.ranks[i] for i in kept), self.costs[kept], self.errors[kept]) if kept else self

    def undominated(self) -> Options:
        """Without the options that cost no less than another one with no larger error, cheapest first."""
        order = np.lexsort((self.errors, self.costs))
        best = np.minimum.accumulate(self.errors[order])
        new = np.concatenate([[True], best[1:] < best[:-1]])
        kept = order[new]
        return Options(tuple(self.ranks[i] for i in kept), self.costs[kept], self.errors[kept])


def cheapest(options: Options, alpha: float, mu: float) -> int:
    """The rank with the least alpha * cost + mu / 2 * error; equal ones: the cheaper."""
    left = options.undominated()
    return left.ranks[int(np.argmin(alpha * left.costs + mu / 2 * left.errors))]


def within_budget(options: Sequence[Options], budget: float) -> list[int] | None:
    """The ranks with the least sum of errors whose costs sum to at most `budget`; None where nothing is so cheap.

    Exact. Of equal errors the least cost is taken. Costs are compared to a relative 1e-12.
    """
    choices = [one.undominated() for one in options]
    budget += _ROUNDING * abs(budget)
    if sum(one.costs[0] for one in choices) > budget:
        return None
    if sum(one.costs[-1] for one in choices) <= budget:
        return [one.ranks[-1] for one in choices]
    # From the matrix with the most at stake to the least: what is left undecided is small early.
    order = sorted(range(len(choices)), key=lambda i: -float(choices[i].errors[0] - choices[i].errors[-1]))
    ordered = [choices[i] for i in order]
    rests = _relaxations(ordered)
    first = _search(ordered, rests, budget, np.inf, _BEAM)
    assert first is not None, "the cheapest of all fit"
    error = sum(float(one.errors[i]) for one, i in zip(ordered, first, strict=True))
    found = _search(ordered, rests, budget, error, None) or first
    ranks = [0] * len(choices)
    for place, choice, index in zip(order, ordered, found, strict=True):
        ranks[place] = choice.ranks[index]
    return ranks


def _relaxations(choices: Sequence[Options]) -> list[tuple[Floats, Floats]]:
    """For the choices after the first 0, 1, ..., all of them: corners (cost, error) of the least error within a cost
    where ranks may be mixed, which no choice of ranks can beat.

    They are steps along the lower convex hulls of the choices, the steepest first.
    """
    owners, costs, saved = [], [], []
    for place, one in enumerate(choices):
        hull = _hull(one)
        owners.append(np.full(len(hull) - 1, place))
        costs.append(np.diff(one.costs[hull]))
        saved.append(-np.diff(one.errors[hull]))
    owner, cost, gain = np.concatenate(owners), np.concatenate(costs), np.concatenate(saved)
    steepest = np.argsort(-gain / cost, kind="stable")
    owner, cost, gain = owner[steepest], cost[steepest], gain[steepest]
    corners = []
    for place in range(len(choices) + 1):
        rest = owner >= place
        start = sum(float(one.costs[0]) for one in choices[place:])
        end = sum(float(one.errors[-1]) for one in choices[place:])
        left = np.cumsum(np.concatenate([[0.0], gain[rest][::-1]]))[::-1]  # summed from the smallest
        corners.append((start + np.concatenate([[0.0], np.cumsum(cost[rest])]), end + left))
    return corners


def _hull(choice: Options) -> list[int]:
    """Indices of the lower convex hull of undominated (cost, error)."""
    hull: list[int] = []
    for i in range(len(choice.ranks)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            first = (choice.errors[b] - choice.errors[a]) * (choice.costs[i] - choice.costs[a])
            if first < (choice.errors[i] - choice.errors[a]) * (choice.costs[b] - choice.costs[a]):
                break
            hull.pop()
        hull.append(i)
    return hull


def _search(
    choices: Sequence[Options], rests: Sequence[tuple[Floats, Floats]], budget: float, error: float, beam: int | None
) -> list[int] | None:
    """Indices of the best choices with no larger error than `error`; None if there are none.

    Partial choices are extended matrix by matrix. One goes when another costs no more and errs no more, when it cannot
    be finished within the budget, or when it errs too much even if `rests` finishes it. With a `beam`, only so many of
    the most promising are kept: a good solution, not the best.
    Source: Nemhauser and Ullmann, Management Science 15 (1969); bounds: Dyer, Mathematical Programming 29 (1984).
    """
    allowed = error * (1 + _ROUNDING)
    costs, errors = np.zeros(1), np.zeros(1)
    trail: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []  # (partial choice before, option) of each
    for one, (corner_costs, corner_errors) in zip(choices, rests[1:], strict=True):
        all_costs = np.add.outer(costs, one.costs).ravel()
        all_errors = np.add.outer(errors, one.errors).ravel()
        bounds = all_errors + np.interp(budget - all_costs, corner_costs, corner_errors)
        alive = np.flatnonzero((all_costs + corner_costs[0] <= budget) & (bounds <= allowed))
        alive = alive[np.lexsort((all_errors[alive], all_costs[alive]))]
        least = np.minimum.accumulate(all_errors[alive])
        alive = alive[np.concatenate([[True], least[1:] < least[:-1]])] if len(alive) else alive
        if beam is not None and len(alive) > beam:
            best = np.argpartition(bounds[alive], beam)[:beam]  # all can be finished within the budget
            alive = alive[np.sort(best)]
        if not len(alive):
            return None
        trail.append((alive // len(one.ranks), alive % len(one.ranks)))
        costs, errors = all_costs[alive], all_errors[alive]
    at, indices = len(costs) - 1, []  # costs rise and errors fall: the last one errs least
    for before, option in reversed(trail):
        indices.append(int(option[at]))
        at = int(before[at])
    return indices[::-1]
