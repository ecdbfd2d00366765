"""Choice of ranks: no other choice costs no more and errs less."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.schemes import LowRank, Target, rank_selection
from condensa_core.schemes.rank_selection import Options, cheapest, within_budget

# Few different numbers: ties in costs, in errors and in both are common.
numbers = st.sampled_from([0.0, 1.0, 2.0, 2.5, 3.0, 5.0, 7.25])
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5)
several = st.lists(pairs, min_size=1, max_size=4)


def options_of(points, ranks=None):
    costs, errors = (np.array(column) for column in zip(*points, strict=True))
    return Options(tuple(ranks or range(len(points))), costs, errors)


def chosen(options, ranks):
    points = [(o.costs[o.ranks.index(r)], o.errors[o.ranks.index(r)]) for o, r in zip(options, ranks, strict=True)]
    return sum(error for _, error in points), sum(cost for cost, _ in points)


def brute_force(options, budget):
    """(error, cost) of the best of all choices; None if none fits."""
    fitting = [
        found
        for ranks in itertools.product(*(o.ranks for o in options))
        if (found := chosen(options, ranks))[1] <= budget
    ]
    return min(fitting, default=None)


@given(several, st.integers(0, 30))
def test_the_budget_is_spent_as_brute_force_would(all_points, budget):
    options = [options_of(points) for points in all_points]

    ranks = within_budget(options, budget)

    best = brute_force(options, budget)
    assert (None if ranks is None else chosen(options, ranks)) == best


def decomposition(rng, m, n, uses):
    """Costs and errors as a matrix has them: error falls ever more slowly, the dense tensor ends it."""
    k = min(m, n)
    sizes = np.sort(rng.exponential(size=k))[::-1]
    ranks = range(-(-m * n // (m + n)))
    errors = np.concatenate([np.cumsum(np.square(sizes)[::-1])[::-1], [0.0]])
    costs = uses * np.array([*(r * (m + n) for r in ranks), m * n], dtype=np.float64)
    return Options((*ranks, k), costs, errors[[*ranks, k]])


@pytest.mark.parametrize("seed", range(60))
def test_ranks_of_random_matrices_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    shapes = [tuple(rng.integers(2, 13, 2)) for _ in range(rng.integers(2, 5))]
    options = [decomposition(rng, int(m), int(n), float(rng.choice([1, 9, 64]))) for m, n in shapes]
    budget = rng.uniform(0.05, 0.95) * sum(o.costs[-1] for o in options)

    found = chosen(options, within_budget(options, budget))

    assert found[0] == pytest.approx(brute_force(options, budget)[0], rel=1e-12)
    assert found[1] <= budget


def by_units(options, budget):
    """The least error by the textbook dynamic programme over every whole cost."""
    best = np.zeros(budget + 1)
    for one in options:
        grown = np.full(budget + 1, np.inf)
        for cost, error in zip(one.costs.astype(int), one.errors, strict=True):
            if cost <= budget:
                grown[cost:] = np.minimum(grown[cost:], best[: budget + 1 - cost] + error)
        best = grown
    return best[budget]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alike", [False, True], ids=["different", "alike"])
@pytest.mark.parametrize("beam", [256, 4, 1])  # of any quality, the first solution only prunes
def test_many_matrices_get_what_the_plain_dynamic_programme_finds(seed, alike, beam, monkeypatch):
    monkeypatch.setattr(rank_selection, "_BEAM", beam)
    rng = np.random.default_rng(seed)
    shapes = [tuple(int(size) for size in rng.integers(8, 40, 2)) for _ in range(25)]
    options = [decomposition(rng, m, n, 1.0) for m, n in shapes]
    if alike:
        options = [options[i % 2] for i in range(25)]  # many choices are the same but for their order
    budget = int(rng.uniform(0.1, 0.8) * sum(o.costs[-1] for o in options))

    found = chosen(options, within_budget(options, budget))

    assert found[0] == pytest.approx(by_units(options, budget), rel=1e-12) and found[1] <= budget


def test_more_budget_is_never_worse_and_all_of_it_buys_everything():
    rng = np.random.default_rng(7)
    options = [decomposition(rng, 9, 12, 1.0), decomposition(rng, 20, 6, 4.0), decomposition(rng, 5, 5, 2.0)]
    dense = sum(o.costs[-1] for o in options)

    errors = [chosen(options, within_budget(options, share * dense))[0] for share in np.linspace(0, 1, 41)]

    assert errors == sorted(errors, reverse=True) and errors[-1] == 0
    assert within_budget(options, 0) == [0, 0, 0]


def test_what_is_free_is_taken_and_what_gains_nothing_is_not():
    options = [options_of([(0, 4), (0, 1), (3, 1), (5, 1)]), options_of([(2, 3)], ranks=[8])]

    assert within_budget(options, 10) == [1, 8]
    assert within_budget(options, 1.9) is None


@given(pairs, st.sampled_from([0.25, 1.0, 3.0]), st.sampled_from([0.5, 1.0, 4.0]))
def test_the_penalised_rank_is_the_least_by_enumeration(points, alpha, mu):
    options = options_of(points)

    rank = cheapest(options, alpha, mu)

    values = [alpha * cost + mu / 2 * error for cost, error in points]
    assert values[rank] == min(values)
    assert points[rank][0] == min(cost for (cost, _), value in zip(points, values, strict=True) if value == min(values))


def test_without_a_dense_branch_the_penalised_rank_keeps_the_singular_values_above_a_threshold():
    rng = np.random.default_rng(3)
    options = decomposition(rng, 30, 40, 1.0)
    sizes = np.sqrt(-np.diff(options.errors[:-1]))  # of the ranks that pay
    alpha, mu = 0.002, 0.9
    threshold = math.sqrt(2 * alpha * 70 / mu)  # Idelbayev and Carreira-Perpinan, CVPR 2020, equation 7

    rank = cheapest(Options(options.ranks[:-1], options.costs[:-1], options.errors[:-1]), alpha, mu)

    assert 0 < rank < len(sizes) and rank == (sizes > threshold).sum()


def test_ranks_that_save_no_numbers_are_no_choice_however_fast_they_were_measured():
    w = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))  # rank 4 holds 56 numbers, the matrix 48
    target = Target({"w": w}, rank_costs={"w": (1.0, 0.4, 0.45, 0.5, 0.01, 0.01, 1.0)})

    code = LowRank(select="latency", budget=0.6).project(target)

    assert code.ranks == {"w": 3} and "w" in code.factors
