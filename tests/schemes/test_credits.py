"""How far clusters reach: no cluster of an optimum saves more by a split, or begins or ends further away, than said."""

from itertools import combinations, combinations_with_replacement, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.schemes.buckets import Atoms
from condensa_core.schemes.clusters import most_saved
from condensa_core.schemes.credits import reach
from condensa_core.schemes.line import Line

numbers = st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 5)), min_size=3, max_size=9)


def sorted_points(drawn):
    points = dict(drawn)
    x = np.array(sorted(points), float)
    return x, np.array([points[v] for v in x], float)


def costs_of(x, w):
    """Cost of each run [i, j) about its mean."""
    costs = {}
    for i, j in combinations_with_replacement(range(x.size + 1), 2):
        mean = np.average(x[i:j], weights=w[i:j]) if j > i else 0
        costs[i, j] = float((w[i:j] * (x[i:j] - mean) ** 2).sum())
    return costs


def saving(costs, i, j):
    return max(costs[i, j] - costs[i, m] - costs[m, j] for m in range(i, j + 1))


@settings(max_examples=150)
@given(numbers)
def test_no_cluster_of_an_optimum_saves_more_by_a_split(drawn):
    x, w = sorted_points(drawn)
    costs = costs_of(x, w)
    least, optimum = [], []
    for k in range(1, x.size + 1):
        ways = [[(i, j) for i, j in pairwise((0, *cuts, x.size))] for cuts in combinations(range(1, x.size), k - 1)]
        optimum.append(min(ways, key=lambda way: sum(costs[run] for run in way)))
        least.append(sum(costs[run] for run in optimum[-1]))

    for k in range(2, x.size + 1):
        bound = most_saved(np.array(least[: k - 1]), least[k - 1], least[k - 1])

        assert max(saving(costs, i, j) for i, j in optimum[k - 1]) <= bound + 1e-9
        assert bound <= least[k - 1]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 5)), min_size=8, max_size=16), st.data())
def test_what_saves_little_by_a_split_is_within_reach(drawn, data):
    x, w = sorted_points(drawn)
    costs = costs_of(x, w)
    first, last = sorted(data.draw(st.tuples(st.integers(0, x.size), st.integers(0, x.size))))
    saved = saving(costs, first, last)  # just fits
    inner = data.draw(st.lists(st.booleans(), min_size=x.size - 1, max_size=x.size - 1))
    grid = np.array([0, *(i for i, on in enumerate(inner, 1) if on), x.size])
    nothing = np.zeros_like(x)
    line = Line.of(Atoms(w, x, nothing, nothing, x, x, np.arange(x.size)), about_zero=False)

    earliest, latest = reach(line, grid, saved + line.rounding)

    for place, position in enumerate(grid):
        assert earliest[place] in grid and latest[place] in grid
        begins = [i for i in range(position + 1) if saving(costs, i, position) <= saved]
        ends = [j for j in range(position, x.size + 1) if saving(costs, position, j) <= saved]
        assert earliest[place] <= min(begins) and latest[place] >= max(ends)


def test_reach_is_no_longer_than_the_split_at_the_mean_allows():
    x = np.arange(64.0)
    nothing = np.zeros_like(x)
    line = Line.of(Atoms(np.ones(64), x, nothing, nothing, x, x, np.arange(64)), about_zero=False)

    earliest, latest = reach(line, np.arange(65), 8.0**3 / 12 * 0.75)

    # Of evenly spread points, a run of n costs (n^3 - n) / 12, of which half and half save three quarters.
    assert 32 - earliest[32] == pytest.approx(8, abs=1) and latest[32] - 32 == pytest.approx(8, abs=1)
