"""The book is globally optimal: against every partition, against O(k n^2) dynamic programming, at full size."""

from itertools import combinations, combinations_with_replacement, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.schemes import Codebook, Metric, Target

SHAPES = ("normal", "uniform", "cauchy", "clumps", "cubed", "even", "mirrored", "lattice", "octaves")


def best_cost(x, w, k, zero):
    """Least cost of k clusters by dynamic programming over all pairs of cuts, O(k n^2)."""
    order = np.argsort(x)
    x, w = x[order], w[order]
    shift = 0 if zero else (w * x).sum() / w.sum()
    mass, first, second = (np.append(0, np.cumsum(w * (x - shift) ** power)) for power in (0, 1, 2))
    start, end = np.arange(x.size + 1)[:, None], np.arange(x.size + 1)[None, :]
    runs = end > start
    weight = np.where(runs, mass[end] - mass[start], 1)
    pinned = np.where(runs, second[end] - second[start], np.where(end == start, 0, np.inf))
    free = np.where(runs, np.maximum(pinned - (first[end] - first[start]) ** 2 / weight, 0), pinned)
    none, one = np.full(x.size + 1, np.inf), np.full(x.size + 1, np.inf)  # is one of the clusters pinned already?
    none[0] = 0
    for _ in range(k):
        one = np.minimum((one[:, None] + free).min(0), (none[:, None] + pinned).min(0))
        none = (none[:, None] + free).min(0)
    return one[-1] if zero else none[-1]


def run_costs(x, w, centre=None):
    """What each run of ascending points costs about its mean, or about a centre; a run without weight costs nothing."""
    costs = {}
    for start, end in combinations_with_replacement(range(x.size + 1), 2):
        xs, ws = x[start:end], w[start:end]
        mean = (ws * xs).sum() / max(ws.sum(), 1e-300) if centre is None else centre
        costs[start, end] = float((ws * (xs - mean) ** 2).sum())
    return costs


def cost_of(x, w, theta):
    return float((w * (x - theta) ** 2).sum())


def project(x, k, *, w=None, zero=False):
    metrics = {} if w is None else {"x": Metric(torch.tensor(w))}
    return Codebook(k, zero=zero).project(Target({"x": torch.tensor(x)}, metrics=metrics))


def points(kind, n, random):
    half = random.normal(size=n // 2)
    return {
        "normal": lambda: random.normal(size=n),
        "uniform": lambda: random.uniform(-1, 1, n),
        "cauchy": lambda: random.standard_cauchy(n),
        "clumps": lambda: random.integers(0, 9, n) + 1e-3 * random.normal(size=n),
        "cubed": lambda: random.exponential(size=n) ** 3,
        "even": lambda: np.arange(n) * 1.0,
        "mirrored": lambda: np.concatenate([half, -half]),
        "lattice": lambda: random.integers(0, 40, n) + 5.0 * random.integers(0, 20, n),
        "octaves": lambda: np.exp(4 * random.normal(size=n)) * random.choice([-1, 1], n),
    }[kind]()


values = st.lists(st.integers(-4, 4).map(float) | st.floats(-4, 4, width=32), min_size=1, max_size=7)


@settings(max_examples=200)
@given(values, st.integers(1, 8), st.booleans(), st.data())
def test_no_partition_is_cheaper(x, k, weighted, data):
    x = np.array(x)
    w = np.array(data.draw(st.lists(st.integers(0, 3), min_size=x.size, max_size=x.size)), float) if weighted else None

    theta = project(x, k, w=w).decode()["x"].numpy()

    weights = np.ones_like(x) if w is None else w
    assert np.unique(theta).size <= k
    order, best = np.argsort(x), np.inf
    cost = run_costs(x[order], weights[order])
    for cuts in combinations(range(1, x.size), min(k, x.size) - 1):
        best = min(best, sum(cost[run] for run in pairwise((0, *cuts, x.size))))
    assert cost_of(x, weights, theta) == pytest.approx(best, abs=1e-9)


@settings(max_examples=150)
@given(values, st.integers(2, 8), st.data())
def test_no_book_with_a_zero_is_cheaper(x, k, data):
    x = np.array(x)
    w = np.array(data.draw(st.lists(st.integers(1, 3), min_size=x.size, max_size=x.size)), float)

    theta = project(x, k, w=w, zero=True).decode()["x"].numpy()

    assert np.unique(np.append(theta, 0)).size <= k
    order, best = np.argsort(x), np.inf
    free, pinned = run_costs(x[order], w[order]), run_costs(x[order], w[order], centre=0)
    for count in range(min(k, x.size + 1)):
        for cuts in combinations(range(x.size + 1), count):  # runs may be empty
            runs = list(pairwise((0, *cuts, x.size)))
            best = min(best, sum(free[run] for run in runs) + min(pinned[run] - free[run] for run in runs))
    assert cost_of(x, w, theta) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("zero", [False, True])
def test_the_grid_loses_no_optimum(kind, zero):
    random = np.random.default_rng(SHAPES.index(kind))
    for k in (1, 2, 3, 5, 8, 13, 17):
        x = np.unique(points(kind, int(random.choice([150, 220, 300])), random))
        w = [np.ones(x.size), random.exponential(size=x.size) + 1e-3, np.exp(3 * random.normal(size=x.size))][k % 3]
        if zero and k == 1:
            continue

        theta = project(x, k, w=w, zero=zero).decode()["x"].numpy()

        energy = cost_of(x, w, 0 if zero else np.average(x, weights=w))
        assert cost_of(x, w, theta) <= best_cost(x, w, k, zero) + 1e-11 * energy


@pytest.mark.parametrize("kind", ["normal", "cauchy", "cubed", "mirrored", "clumps"])
@pytest.mark.parametrize("zero", [False, True])
def test_buckets_lose_no_optimum(kind, zero):
    random = np.random.default_rng(7)
    few = np.sort(points(kind, 400, random))
    x = few[random.integers(0, few.size, 6000)]
    w = random.exponential(size=x.size)
    distinct, place = np.unique(x, return_inverse=True)

    for k in (2, 6, 12):
        theta = project(x, k, zero=zero).decode()["x"].numpy()
        weighted = project(x, k, w=w, zero=zero).decode()["x"].numpy()

        best = best_cost(distinct, np.bincount(place).astype(float), k, zero)
        assert cost_of(x, 1, theta) <= best + 1e-11 * (x**2).sum()
        best = best_cost(distinct, np.bincount(place, w), k, zero)
        assert cost_of(x, w, weighted) <= best + 1e-11 * (w * x**2).sum()


def test_sixteen_numbers_for_235200_weights():
    # 1,500 different values, so that dynamic programming over all of them can be the certificate
    random = np.random.default_rng(0)
    x = np.round(random.normal(size=235_200) * 200) / 4000
    distinct, counts = np.unique(x, return_counts=True)

    theta = project(x, 16).decode()["x"].numpy()

    best = best_cost(distinct, counts.astype(float), 16, False)
    assert cost_of(x, 1, theta) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("kind", ["normal", "cauchy", "cubed", "clumps", "lattice", "octaves"])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_numbers_lose_no_optimum(kind, weighted):
    random = np.random.default_rng(SHAPES.index(kind))
    x = np.unique(points(kind, 800, random))
    w = np.exp(2 * random.normal(size=x.size)) if weighted else np.ones(x.size)

    theta = project(x, 70, w=w).decode()["x"].numpy()

    energy = cost_of(x, w, np.average(x, weights=w))
    assert cost_of(x, w, theta) <= best_cost(x, w, 70, False) * (1 + 1e-7) + 1e-12 * energy


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_two_numbers_for_many_weights_are_the_best_of_all_cuts(kind, dtype, weighted):
    random = np.random.default_rng(SHAPES.index(kind))
    x = torch.tensor(points(kind, 30_000, random), dtype=dtype).double().numpy()
    w = np.exp(2 * random.normal(size=x.size)) if weighted else np.ones_like(x)

    metrics = {"x": Metric(torch.tensor(w))} if weighted else {}
    theta = Codebook(2).project(Target({"x": torch.tensor(x, dtype=dtype)}, metrics=metrics)).decode()["x"]

    order = np.argsort(x)
    xs, ws = x[order].astype(np.longdouble), w[order].astype(np.longdouble)
    moment, mass = np.cumsum(ws * xs), np.cumsum(ws)
    between = moment[:-1] ** 2 / mass[:-1] + (moment[-1] - moment[:-1]) ** 2 / (mass[-1] - mass[:-1])
    least = (ws * xs**2).sum() - between[xs[1:] > xs[:-1]].max()  # equal numbers stay together
    rounding = 1e-13 + float(torch.finfo(dtype).eps) ** 2  # of the costs, and of the book
    assert cost_of(x, w, theta.double().numpy().astype(np.longdouble)) <= least + rounding * (ws * xs**2).sum()


@pytest.mark.parametrize("n", [300, 30_000], ids=["sorted", "in buckets"])
@pytest.mark.parametrize("kind", ["an outlier above", "an outlier below", "lighter the farther"])
@pytest.mark.parametrize("weight", [1e-10, 1e-14, 1e-18, 1e-22])
def test_two_numbers_are_the_best_where_weights_span_decades(kind, n, weight):
    random = np.random.default_rng(0)
    if kind == "lighter the farther":
        decades = random.uniform(0, 1, n)
        x, w = random.choice([-1, 1], n) * weight ** (-decades / 2), weight**decades
    else:  # cutting it off gains nothing to speak of
        x, w = random.normal(size=n) * weight**0.25, np.ones(n)
        x[0], w[0] = 1.0 if kind == "an outlier above" else -1.0, weight

    theta = project(x, 2, w=w).decode()["x"].numpy()

    order = np.argsort(x)
    xs, ws = x[order].astype(np.longdouble), w[order].astype(np.longdouble)
    xs = xs - (ws * xs).sum() / ws.sum()
    terms = np.stack((ws, ws * xs))
    (mass, moment), (above, rest) = terms.cumsum(1)[:, :-1], terms[:, ::-1].cumsum(1)[:, -2::-1]
    energy = (ws * xs**2).sum()
    least = energy - (moment**2 / mass + rest**2 / above).max()
    assert cost_of(x, w, theta) <= least + 1e-12 * energy


@pytest.mark.parametrize(("k", "zero"), [(3, False), (8, False), (2, True), (80, True)])
def test_runs_too_light_for_the_search_have_a_mean_all_the_same(k, zero):
    random = np.random.default_rng(0)
    for weight in 10.0 ** -np.arange(14, 30):
        x, w = random.normal(size=400) * weight**0.25, np.ones(400)
        x[:3], w[:3] = (0.7, 1.0, 2.0), weight

        theta = project(x, k, w=w, zero=zero).decode()["x"].numpy()

        assert np.unique(theta).size <= k
        assert cost_of(x, w, theta) < cost_of(x, w, 0 if zero else np.average(x, weights=w))


def test_two_numbers_are_found_inside_buckets_that_hold_most_weights():
    random = np.random.default_rng(3)
    for _ in range(200):
        # A few crowded buckets of several clumps each, and a range that light outliers set
        bucket, inside = random.integers(100, 110, 6), random.random(6)
        distinct = np.concatenate((bucket + inside, [0, *random.uniform(1000, 4095, 2), 4096]))
        mass = np.concatenate((np.exp(2 * random.normal(size=6)), 10.0 ** random.uniform(-9, -3, 4)))
        place = np.concatenate((np.arange(10), random.integers(0, 6, 2090)))

        w = (mass / np.bincount(place))[place]

        theta = project(distinct[place], 2, w=w).decode()["x"].numpy()

        order = np.argsort(distinct)
        cost = run_costs(distinct[order], mass[order])
        best = min(cost[0, cut] + cost[cut, 10] for cut in range(1, 10))
        assert cost_of(distinct[place], w, theta) <= best * (1 + 1e-11)


def test_two_numbers_for_235200_weights_are_the_best_of_all_cuts():
    x = np.sort(np.random.default_rng(1).normal(size=235_200) ** 3)

    theta = project(x, 2).decode()["x"].numpy()

    counts, sums = np.arange(1, x.size), np.cumsum(x)[:-1]
    between = sums**2 / counts + (x.sum() - sums) ** 2 / (x.size - counts)
    assert cost_of(x, 1, theta) == pytest.approx((x**2).sum() - between.max(), rel=1e-10)


def test_as_many_numbers_as_a_byte_holds():
    random = np.random.default_rng(2)
    x = random.normal(size=420)

    theta = project(x, 256).decode()["x"].numpy()

    assert np.unique(theta).size == 256
    assert cost_of(x, 1, theta) == pytest.approx(best_cost(x, np.ones(420), 256, False), rel=1e-8)


def test_weights_without_weight_do_not_count_but_go_to_the_nearest():
    theta = project(np.array([0.0, 1.0, 10.0, 9.0]), 2, w=np.array([1.0, 1.0, 1.0, 0.0])).decode()["x"]

    assert theta.tolist() == [0.5, 0.5, 10.0, 10.0]


def test_a_metric_of_nothing_but_zeros_is_no_metric():
    x = np.array([0.0, 1.0, 9.0, 10.0])

    theta = project(x, 2, w=np.zeros(4)).decode()["x"]

    assert theta.tolist() == [0.5, 0.5, 9.5, 9.5]
