"""The grid of least squared error, against every assignment of levels; rounding against a Gram metric."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.schemes import Metric, Quantize, Target, scale_search
from condensa_core.schemes.affine import Grid
from condensa_core.schemes.scale_search import least_squares_steps

number = st.one_of(st.sampled_from([0.0, 0.5, 1.0, -1.0, 3.0]), st.floats(-8, 8, width=32))
# Scales have 16 significant bits: off the optimum by 2^-17 of it at most, which adds its square to the error.
SLACK = 2.0**-32


def brute_force(w, weights, bits, symmetric):
    """The least error over all assignments of levels, each with its best scale."""
    top = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    q = np.array(list(product(range(-top, top + 1), repeat=len(w))), dtype=float)
    if not symmetric:
        q = q[np.maximum(q.max(1), 0) - np.minimum(q.min(1), 0) <= top]
    moment, square = q @ (weights * w), (q**2) @ weights
    gain = np.where(moment > 0, moment**2 / np.where(square > 0, square, 1), 0)
    return float(weights @ w**2 - gain.max())


def error_of(w, weights, steps):
    theta = steps.round(w[None])[0] * steps.scale
    return float((weights * (w - theta) ** 2).sum())


@settings(max_examples=400)
@given(
    st.lists(number, min_size=1, max_size=5),
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.0, 7.0]), min_size=5, max_size=5),
    st.sampled_from([(2, True), (3, True), (2, False)]),
)
def test_no_assignment_and_scale_are_better(values, weights, kind):
    bits, symmetric = kind
    w = torch.tensor(values, dtype=torch.float64)
    weight = torch.tensor(weights[: len(values)], dtype=torch.float64)

    steps = least_squares_steps(w[None], weight[None], Grid(bits, symmetric, signed=True))

    counted = weight if weight.any() else torch.ones_like(weight)
    best = brute_force(w.numpy(), counted.numpy(), bits, symmetric)
    norm = float((counted * w**2).sum())
    assert error_of(w, counted, steps) == pytest.approx(best, abs=SLACK * max(norm, 1e-30))


@pytest.mark.parametrize(("bits", "symmetric"), [(4, True), (3, False)])
def test_wider_exhaustive_grids_against_every_assignment(bits, symmetric):
    draws = np.random.default_rng(bits)
    for _ in range(30):
        w = torch.from_numpy(draws.standard_normal(4))
        weight = torch.from_numpy(draws.random(4))

        steps = least_squares_steps(w[None], weight[None], Grid(bits, symmetric, signed=True))

        best = brute_force(w.numpy(), weight.numpy(), bits, symmetric)
        assert error_of(w, weight, steps) == pytest.approx(best, abs=SLACK * float((weight * w**2).sum()))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_breakpoints_in_windows_find_the_same_grid(bits, symmetric, monkeypatch):
    w = torch.randn(1, 700, generator=torch.Generator().manual_seed(bits), dtype=torch.float64).round(decimals=1)
    grid = Grid(bits, symmetric, signed=True)
    whole = least_squares_steps(w, torch.ones_like(w), grid)

    monkeypatch.setattr(scale_search, "_WINDOW", 256)
    windows = least_squares_steps(w, torch.ones_like(w), grid)

    assert whole.scale.tolist() == windows.scale.tolist()
    assert whole.low.tolist() == windows.low.tolist()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [5, 6, 8])
def test_the_search_of_wide_grids_comes_close_to_the_exhaustive_one(bits, symmetric):
    generator = torch.Generator().manual_seed(bits)
    shapes = [torch.randn(60, generator=generator), torch.rand(60, generator=generator) ** 3]
    for w in shapes:
        blocks = w.double()[None]
        grid = Grid(bits, symmetric, signed=True)

        found = error_of(
            blocks[0], torch.ones_like(blocks[0]), least_squares_steps(blocks, torch.ones_like(blocks), grid)
        )
        exact = error_of(
            blocks[0], torch.ones_like(blocks[0]), scale_search._sweep(blocks, torch.ones_like(blocks), grid)
        )
        reaching_all = Quantize(f"int{bits}", symmetric=symmetric).project(Target({"w": w.double()})).decode()["w"]

        assert exact <= found * (1 + 1e-9)
        assert found <= exact * 1.15
        assert found <= float((reaching_all - w).square().sum()) * (1 + 1e-9)


def test_a_diagonal_metric_moves_the_grid_to_what_counts():
    w = torch.tensor([[0.9, 1.1, 1.0, 10.0]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 1e-6]])
    scheme = Quantize("int2", range="mse")

    plain = scheme.project(Target({"w": w})).decode()["w"]
    aware = scheme.project(Target({"w": w}, metrics={"w": Metric(weights)})).decode()["w"]

    assert plain[0, :3].tolist() == [0, 0, 0]
    torch.testing.assert_close(aware, torch.ones(1, 4), rtol=1e-3, atol=0)


def correlated(samples: int, inputs: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    strength = torch.logspace(1, -1.5, inputs, dtype=torch.float64)
    return torch.randn(samples, inputs, generator=generator, dtype=torch.float64) * strength @ mixing


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize("range_rule", ["max", "mse"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_data_aware_rounding_beats_nearest_on_inputs_it_has_not_seen(granularity, range_rule, symmetric):
    seen, unseen = correlated(400, 48, seed=1), correlated(400, 48, seed=2)
    w = torch.randn(20, 48, generator=torch.Generator().manual_seed(3))
    gram = seen.T @ seen / len(seen)
    scheme = Quantize("int4", granularity, 16 if granularity == "group" else None, symmetric, range_rule)
    metric = Metric(gram.diagonal()[None], gram)

    blind = scheme.project(Target({"w": w})).decode()["w"]
    aware = scheme.project(Target({"w": w}, metrics={"w": metric})).decode()["w"]

    errors = [float((unseen @ (theta - w).double().T).square().mean()) for theta in (aware, blind)]
    assert errors[0] < 0.5 * errors[1]


def test_feedback_is_nearly_the_best_assignment_and_never_worse_than_nearest():
    draws = np.random.default_rng(0)
    best_found = 0
    for _ in range(60):
        x = draws.standard_normal((12, 5)) @ draws.standard_normal((5, 5))
        gram, w = x.T @ x / 12, draws.standard_normal((2, 5))
        scheme = Quantize("int2", "channel")
        metric = Metric(torch.from_numpy(gram.diagonal().copy())[None], torch.from_numpy(gram))
        target = torch.from_numpy(w)

        aware = scheme.project(Target({"w": target}, metrics={"w": metric}))
        blind = scheme.project(Target({"w": target}))

        scales = aware.scales["w"].double().numpy()
        assignments = np.array(list(product((-1, 0, 1), repeat=5)), dtype=float)
        for row in range(2):
            gaps = w[row] - assignments * scales[row]
            least = np.einsum("ai,ij,aj->a", gaps, gram, gaps).min()
            gap = w[row] - aware.decode()["w"][row].numpy()
            nearest = w[row] - blind.decode()["w"][row].numpy()
            assert gap @ gram @ gap <= nearest @ gram @ nearest + 1e-12
            assert gap @ gram @ gap >= least - 1e-12
            best_found += gap @ gram @ gap <= least + 1e-9
    assert best_found >= 0.7 * 120


def test_feedback_leaves_removed_weights_at_zero():
    """Inputs that are nearly the same: the errors of twenty columns add up at the last four, more than half a step."""
    gram = 0.05 * torch.eye(24, dtype=torch.float64) + 1
    w = torch.randn(8, 24, generator=torch.Generator().manual_seed(5))
    alive = torch.ones(8, 24, dtype=torch.bool)
    alive[:, 20:] = alive[0, 4] = False
    metric = Metric(gram.diagonal()[None], gram)

    code = Quantize("int4", "channel").project(Target({"w": w * alive}, alive={"w": alive}, metrics={"w": metric}))

    assert not code.decode()["w"][~alive].any()
    assert code.decode()["w"][alive].any()


def test_inputs_that_never_occur_do_not_break_the_feedback():
    gram = torch.zeros(4, 4, dtype=torch.float64)
    w = torch.tensor([[1.0, -2.0, 0.5, 0.0]])

    theta = Quantize("int8").project(Target({"w": w}, metrics={"w": Metric(gram.diagonal()[None], gram)})).decode()["w"]

    torch.testing.assert_close(theta, w, rtol=0, atol=2 / 127)
