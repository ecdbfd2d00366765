"""`lowrank`: exact for a rank, an energy, a price and a budget; in every view, dtype, metric and composition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Compose, LowRank, Metric, Plain, Product, Prune, Sum, Target

seeds = st.integers(0, 2**31)
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])


def drawn(seed, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def error_of(target, decoded):
    return sum(float((w.double() - decoded[name].double()).square().sum()) for name, w in target.tensors.items())


def tails_of(matrix):
    energies = np.square(scipy.linalg.svdvals(matrix.double().numpy()))
    return np.array([energies[r:].sum() for r in range(len(energies) + 1)])


def settings_of(seed):
    return Target({"a": drawn(seed, 9, 7), "b": drawn(seed + 1, 5, 12), "c": drawn(seed + 2, 6)})


@given(m=st.integers(1, 7), n=st.integers(1, 7), rank=st.integers(0, 9), seed=seeds)
def test_no_matrix_of_the_rank_is_nearer(m, n, rank, seed):
    target = Target({"w": drawn(seed, m, n, dtype=torch.float64)})

    code = LowRank(rank=rank).project(target)

    decoded = code.decode()["w"]
    assert error_of(target, {"w": decoded}) == pytest.approx(tails_of(target.tensors["w"])[min(rank, m, n)], abs=1e-12)
    assert code.ranks == {"w": min(rank, m, n)}
    assert torch.linalg.matrix_rank(decoded) == min(rank, m, n)
    assert code.bits() == 64 * min(rank * (m + n), m * n)
    if rank >= min(m, n):
        assert torch.equal(decoded, target.tensors["w"])  # to the bit


@given(energy=st.floats(0.01, 1.0), seed=seeds)
def test_the_rank_is_the_least_that_keeps_the_energy(energy, seed):
    target = Target({"w": drawn(seed, 6, 8, dtype=torch.float64)})

    rank = LowRank(energy=energy).project(target).ranks["w"]

    kept = 1 - tails_of(target.tensors["w"]) / tails_of(target.tensors["w"])[0]
    assert kept[rank] >= energy - 1e-12 and (rank == 0 or kept[rank - 1] < energy + 1e-12)


@dtypes
def test_all_energy_is_the_rank_that_a_tensor_has_in_its_dtype(dtype):
    left, right = drawn(1, 12, 3, dtype=torch.float64), drawn(2, 3, 15, dtype=torch.float64)
    target = Target({"w": (left @ right).to(dtype), "zero": torch.zeros(4, 5, dtype=dtype)})

    code = LowRank(energy=1.0).project(target)

    assert code.ranks == {"w": 3, "zero": 0}
    error = torch.linalg.matrix_norm((code.decode()["w"] - target.tensors["w"]).double(), 2)
    assert error <= 15 * torch.finfo(dtype).eps * torch.linalg.matrix_norm(left @ right, 2)
    assert not code.decode()["zero"].any()


SPECTRA = {
    "flat": lambda i: np.ones(i.size),
    "falling": lambda i: 1 / (1 + i),
    "steep": lambda i: 10.0 ** (-i / 2),
    "paired": lambda i: 1.0 / (1 + i // 2),
    "lacking": lambda i: np.where(i < 20, 1.0 + i, 0),
    "one giant": lambda i: np.where(i == 0, 1e7, 1 + 1e-6 * i),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(60, 150), (150, 60)])
@pytest.mark.parametrize("unit", [1.0, 1e-15, 1e15])
def test_the_error_is_that_of_the_full_decomposition_whatever_the_spectrum(shape, spectrum, dtype, unit):
    sizes = torch.from_numpy(SPECTRA[spectrum](np.arange(60.0))) * unit
    left, right = (torch.linalg.qr(drawn(i, n, 60, dtype=torch.float64))[0] for i, n in enumerate(shape))
    weights = (left * sizes @ right.T).to(dtype)

    target, tails = Target({"w": weights}), tails_of(weights)
    for rank in (1, 2, 7, 20, 25):
        error = error_of(target, LowRank(rank=rank).project(target).decode())

        # What factors, their product and any decomposition round off adds its own norm, by the triangle inequality.
        rounded = 8 * torch.finfo(dtype).eps * tails[0] ** 0.5
        assert error <= (tails[rank] ** 0.5 * (1 + 1e-10) + rounded) ** 2


def options(shape, uses=1.0):
    """(rank, cost) of all that a matrix may become, the dense one included, from the definition."""
    m, n = shape
    return [*((r, uses * min(r * (m + n), m * n)) for r in range(min(m, n))), (min(m, n), uses * m * n)]


@given(
    seed=seeds,
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
    mu=st.sampled_from([0.5, 2.0]),
    select=st.sampled_from(["storage", "flops"]),
)
def test_at_a_price_each_tensor_gets_the_cheapest_of_all_ranks(seed, alpha, mu, select):
    uses = {"a": 4.0}
    target = Target({"a": drawn(seed, 6, 9), "b": drawn(seed + 1, 8, 4)}, mu=mu, uses=uses)

    code = LowRank(select=select, alpha=alpha).project(target)

    for name, w in target.tensors.items():
        tails = tails_of(w)
        each = uses.get(name, 1.0) if select == "flops" else 1.0
        values = [alpha * cost + mu / 2 * tails[rank] for rank, cost in options(w.shape, each)]
        assert values[code.ranks[name]] == pytest.approx(min(values), rel=1e-9)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("select", ["storage", "flops"])
def test_within_a_budget_the_error_is_the_least_of_all_ranks(seed, select):
    tensors = {"a": drawn(seed, 5, 8), "b": 3 * drawn(seed + 1, 6, 6), "c": drawn(seed + 2, 3, 4)}
    uses = {"a": 9.0, "c": 2.0}
    budget = 0.1 + 0.03 * seed
    target = Target(tensors, uses=uses)

    code = LowRank(select=select, budget=budget).project(target)

    each = {name: uses.get(name, 1.0) if select == "flops" else 1.0 for name in tensors}
    tails = {name: tails_of(w) for name, w in tensors.items()}
    allowed = budget * sum(each[name] * w.numel() for name, w in tensors.items()) * (1 + 1e-12)
    affordable = [
        choice
        for choice in itertools.product(*(options(w.shape, each[name]) for name, w in tensors.items()))
        if sum(cost for _, cost in choice) <= allowed
    ]
    connected = [choice for choice in affordable if all(rank for rank, _ in choice)]  # no matrix is zero
    best = min(
        sum(tails[name][rank] for name, (rank, _) in zip(tensors, choice, strict=True))
        for choice in connected or affordable
    )
    assert connected or budget < 0.4  # only the smallest budgets cannot pay for rank 1 everywhere
    assert error_of(target, code.decode()) == pytest.approx(best, rel=1e-5, abs=1e-5)
    cost = sum(dict(options(w.shape, each[name]))[code.ranks[name]] for name, w in tensors.items())
    assert cost <= allowed
    if select == "storage":
        assert code.bits() == 32 * cost


def test_no_factors_cost_more_than_the_dense_tensor():
    # The library chose rank 10 for a 100 x 10 layer and counted 1100 numbers against 1000.
    target = Target({"w": drawn(0, 100, 10)}, mu=1.0)

    code = LowRank(select="storage", alpha=1e-9).project(target)

    assert torch.equal(code.decode()["w"], target.tensors["w"]) and code.bits() == 32 * 1000
    assert isinstance(code.terms()["w"][0], Plain) and "w" not in code.factors


def test_the_whole_budget_keeps_everything_as_it_is():
    target = settings_of(1)

    decoded = LowRank(select="storage", budget=1.0).project(target).decode()

    assert all(torch.equal(decoded[name], w) for name, w in target.tensors.items())


def test_measured_latency_decides_where_it_is_given():
    target = Target({"w": drawn(0, 6, 8)}, rank_costs={"w": (0.1, 5.0, 0.2, 0.9, 1.0)})  # rank 1 was measured slower

    ranks = [LowRank(select="latency", budget=b).project(target).ranks["w"] for b in (0.1, 0.2, 0.5, 0.9, 1.0)]

    assert ranks == [0, 2, 2, 3, 6]
    with pytest.raises(SchemeError, match=r"no ranks cost 0\.05 of the dense tensors; the least is 0\.1"):
        LowRank(select="latency", budget=0.05).project(target)
    with pytest.raises(SchemeError, match="measured cost of each rank of w"):
        LowRank(select="latency", budget=0.5).project(Target({"w": drawn(0, 6, 8)}))


@pytest.mark.parametrize("mu", [None, 0.0])
def test_a_price_needs_mu(mu):
    with pytest.raises(SchemeError, match="use budget"):
        LowRank(select="flops", alpha=0.1).project(Target({"w": drawn(0, 3, 3)}, mu=mu))


FORMS = [
    LowRank(rank=2),
    LowRank(rank=2, convolution="kernel"),
    LowRank(rank=4),
    LowRank(select="storage", alpha=0.05),
    LowRank(select="storage", budget=0.6),
    LowRank(select="flops", budget=0.3, convolution="kernel"),
]


@dtypes
@pytest.mark.parametrize("scheme", FORMS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_a_repeated_projection_keeps_ranks_and_values(scheme, dtype, seed):
    tensors = {"a": drawn(seed, 9, 8, dtype=dtype), "b": drawn(seed + 1, 6, 3, 3, 3, dtype=dtype)}
    code = scheme.project(Target(tensors, mu=0.7))

    again = scheme.project(Target(code.decode(), mu=0.7))

    assert again.same_structure(code) and code.same_structure(again)
    for name, tensor in code.decode().items():
        assert tensor.dtype == dtype
        # Each of the two rounds factors and product to the dtype.
        torch.testing.assert_close(again.decode()[name], tensor, rtol=0, atol=16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 1), (1, 9), (9, 1), (4, 5, 3), (4, 5, 3, 2), (3, 4, 2, 3, 2)])
@pytest.mark.parametrize("convolution", ["output", "kernel"])
@pytest.mark.parametrize("strided", [False, True])
def test_every_shape_and_layout_is_a_matrix(shape, convolution, strided):
    w = drawn(1, *shape)
    dims = tuple(reversed(range(w.ndim)))
    w = w.permute(dims).contiguous().permute(dims) if strided else w
    before = w.clone()

    code = LowRank(rank=1, convolution=convolution).project(Target({"w": w}))
    full = LowRank(rank=99, convolution=convolution).project(Target({"w": w}))

    spatial = max(0, len(shape) - 2)
    first = 1 + (spatial + 1) // 2 if convolution == "kernel" and spatial else 1
    order = [0, *range(2, 1 + first), 1, *range(1 + first, len(shape))] if len(shape) > 1 else list(range(len(shape)))
    matrix = w.permute(order).reshape(w.permute(order).shape[:first].numel(), -1)
    assert error_of(Target({"w": w}), code.decode()) == pytest.approx(tails_of(matrix)[1], rel=1e-5, abs=1e-10)
    assert torch.equal(full.decode()["w"], w) and torch.equal(w, before)
    for one in (code, full):
        one.decode()["w"].add_(1)
        assert one.decode()["w"].shape == w.shape and torch.equal(w, before)
        (term,) = one.terms()["w"]
        torch.testing.assert_close(term.dense(), one.decode()["w"])


def test_channels_last_weights_are_projected_alike():
    w = drawn(1, 8, 4, 3, 3)

    for convolution in ("output", "kernel"):
        plain, last = (
            LowRank(rank=3, convolution=convolution).project(Target({"w": one})).decode()["w"]
            for one in (w, w.contiguous(memory_format=torch.channels_last))
        )
        assert torch.equal(plain, last)


def test_what_is_held_and_what_moves():
    target = settings_of(3)

    code = LowRank(rank=5).project(target)  # "b" is full at 5, "a" is not but costs 80 > 63 as factors, "c" is a vector

    labels = code.freedom().labels
    assert {name: set(label.flatten().tolist()) for name, label in labels.items()} == {"a": {0}, "b": {-1}, "c": {-1}}
    assert all(label.dtype == torch.int32 for label in labels.values())
    assert set(code.arrays()) == {"a", "b", "c"} and torch.linalg.matrix_rank(code.decode()["a"]) == 5


def test_values_are_the_factors_and_rebuild_the_tensors():
    target = Target({"a": drawn(0, 9, 7), "gone": torch.zeros(4, 4), "c": drawn(2, 6)}, uses={"a": 9.0})

    code = LowRank(energy=0.7).project(target)

    values = code.values()
    assert list(values.tensors) == ["a.left", "a.right", "c"]
    assert values.uses == {"a.left": 9.0, "a.right": 9.0}
    r = code.ranks["a"]
    assert values.tensors["a.left"].shape == (9, r) and values.tensors["a.right"].shape == (r, 7)
    doubled = code.rebuild({name: 2 * tensor for name, tensor in values.tensors.items()})
    torch.testing.assert_close(doubled["a"], 4 * code.decode()["a"])
    torch.testing.assert_close(doubled["c"], 2 * target.tensors["c"])
    assert code.bits() == 32 * (r * 16 + 6) and code.structure_bits() == 0
    assert isinstance(code.terms()["a"][0], Product) and isinstance(code.terms()["gone"][0], Plain)


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-560, 1.0, 2.0**530, 2.0**1000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 7), (7, 5)])
@pytest.mark.parametrize("settings", [{"rank": 1}, {"energy": 0.8}, {"energy": 1.0}], ids=str)
def test_weights_whose_squares_are_no_numbers_are_as_good_as_others(scale, shape, settings):
    w = drawn(3, *shape, dtype=torch.float64)

    code = LowRank(**settings).project(Target({"w": scale * w}))

    alike = LowRank(**settings).project(Target({"w": w}))
    assert code.ranks == alike.ranks
    torch.testing.assert_close(code.decode()["w"] / scale, alike.decode()["w"])


def test_errors_that_are_no_numbers_cannot_be_compared():
    with pytest.raises(SchemeError, match="w is too large to square"):
        LowRank(select="storage", budget=0.5).project(Target({"w": 1e160 * drawn(3, 5, 7, dtype=torch.float64)}))


def test_infinite_weights_are_refused():
    with pytest.raises(SchemeError, match="w holds NaN or infinite"):
        LowRank(rank=1).project(Target({"w": torch.tensor([[1.0, float("nan")]])}))


def test_removed_rows_and_columns_stay_zero_and_cost_nothing():
    w, rows, columns = drawn(0, 9, 4, 3, 3), torch.arange(9) % 3 != 0, torch.arange(4) != 2
    alive = (rows[:, None] & columns)[:, :, None, None].expand(w.shape)
    target = Target({"w": w * alive}, alive={"w": alive})

    code = LowRank(rank=2).project(target)

    small = w[rows][:, columns]
    decoded = code.decode()["w"]
    assert not decoded[~alive].any()
    assert error_of(target, {"w": decoded}) == pytest.approx(tails_of(small.flatten(1))[2], rel=1e-5)
    assert code.bits() == 32 * 2 * (6 + 27)
    values = code.values()
    assert torch.equal(values.alive["w.left"], rows[:, None].expand(9, 2))
    assert not values.tensors["w.left"][~rows].any()
    dense = LowRank(rank=9).project(target)
    assert dense.bits() == 32 * 6 * 27 and torch.equal(dense.decode()["w"], w * alive)
    assert torch.equal(dense.freedom().labels["w"], -alive.int())


def test_nothing_alive_is_nothing_left():
    target = Target({"w": torch.zeros(5, 4)}, alive={"w": torch.zeros(5, 4, dtype=torch.bool)})

    for scheme in (LowRank(rank=2), LowRank(energy=0.9), LowRank(select="storage", budget=0.5)):
        code = scheme.project(target)
        assert code.bits() == 0 and not code.decode()["w"].any()


def test_zeros_inside_a_matrix_are_refused():
    alive = torch.ones(4, 5, dtype=torch.bool)
    alive[1, 2] = False

    with pytest.raises(SchemeError, match="fill the zeros inside w again; put lowrank first"):
        LowRank(rank=2).project(Target({"w": drawn(0, 4, 5) * alive}, alive={"w": alive}))


def test_factors_can_be_pruned():
    target = Target({"w": drawn(0, 12, 10)})

    code = Compose((LowRank(rank=3), Prune(sparsity=0.5))).project(target)

    left, right = (code.codes[1].decode()[f"w.{side}"] for side in ("left", "right"))
    assert int((left != 0).sum() + (right != 0).sum()) == 33
    torch.testing.assert_close(code.decode()["w"], left @ right)


def test_low_rank_and_corrections_add_up():
    w = drawn(0, 12, 2) @ drawn(1, 2, 10)
    w[3, 4] += 10

    code = Sum((LowRank(rank=2), Prune(kappa=1))).project(Target({"w": w}))

    assert error_of(Target({"w": w}), code.decode()) < 1e-2 * tails_of(w)[2]


@pytest.mark.parametrize("shape", [(8, 6), (6, 8), (6, 2, 2, 2)])
def test_the_metric_of_the_inputs_is_heeded(shape):
    w, inputs = (
        drawn(0, *shape),
        drawn(1, w_columns := int(np.prod(shape[1:])), 50) * torch.logspace(0, -2, w_columns)[:, None],
    )
    gram = inputs @ inputs.T / 50
    metric = Metric(gram.diagonal().view(1, *shape[1:]), gram)
    target = Target({"w": w}, metrics={"w": metric})

    code = LowRank(rank=2).project(target)

    root = torch.linalg.cholesky(gram.double())
    assert float(metric.error(w - code.decode()["w"])) == pytest.approx(
        tails_of(w.flatten(1).double() @ root)[2], rel=1e-4
    )
    plain = LowRank(rank=2).project(Target({"w": w}))
    assert float(metric.error(w - code.decode()["w"])) < float(metric.error(w - plain.decode()["w"]))


@pytest.mark.parametrize("shape", [(1, 6), (8, 1), (8, 6), ()])
def test_separable_weights_are_heeded(shape):
    w, weights = drawn(0, 8, 6, dtype=torch.float64), drawn(1, *shape[:1] or (1,), dtype=torch.float64).square() + 0.1
    weights = (
        weights if len(shape) < 2 else (weights[:, None] * (drawn(2, shape[1], dtype=torch.float64).square() + 0.1))
    )
    metric = Metric(weights)

    code = LowRank(rank=3).project(Target({"w": w}, metrics={"w": metric}))

    scaled = w * weights.expand(8, 6).sqrt()
    assert float(metric.error(w - code.decode()["w"])) == pytest.approx(tails_of(scaled)[3], rel=1e-8)


def test_metrics_without_an_exact_solution_are_refused():
    w = drawn(0, 6, 4, 3, 3)
    columns = drawn(1, 1, 4, 3, 3).square()

    with pytest.raises(SchemeError, match="weighs every entry on its own"):
        LowRank(rank=2).project(Target({"w": w}, metrics={"w": Metric(drawn(1, *w.shape).square())}))
    for metric in (Metric(columns), Metric(columns, torch.eye(36))):
        assert LowRank(rank=2).project(Target({"w": w}, metrics={"w": metric})).ranks == {"w": 2}
        with pytest.raises(SchemeError, match="convolution: output"):
            LowRank(rank=2, convolution="kernel").project(Target({"w": w}, metrics={"w": metric}))


def test_a_bias_is_left_alone_by_the_metric_of_its_layer():
    metric = Metric(torch.ones(1), torch.eye(1))

    code = LowRank(rank=1).project(Target({"b": drawn(0, 6)}, metrics={"b": metric}))

    assert torch.equal(code.decode()["b"], drawn(0, 6))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one of rank, energy and select, got none"),
        ({"rank": 2, "energy": 0.5}, "got rank and energy"),
        ({"rank": -1}, "whole number from 0"),
        ({"rank": 2.5}, "whole number from 0"),
        ({"energy": 0.0}, r"outside \(0, 1\]"),
        ({"energy": 90}, "write 0.9 for 90%"),
        ({"rank": 2, "budget": 0.5}, "go with select"),
        ({"select": "flops"}, "exactly one of budget and alpha"),
        ({"select": "flops", "alpha": 1.0, "budget": 0.5}, "exactly one of budget and alpha"),
        ({"select": "flopgs", "budget": 0.5}, "known: flops, storage, latency"),
        ({"select": "flops", "alpha": 0.0}, "above 0"),
        ({"select": "flops", "budget": 50}, "write 0.5 for 50%"),
        ({"rank": 2, "convolution": "scheme_2"}, "known: output, kernel"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SchemeError, match=message):
        LowRank(**settings)
