from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.schemes import Metric, Target, Ternary

values = st.lists(st.integers(-3, 3).map(float) | st.floats(-4, 4, width=32), min_size=1, max_size=6)


@settings(max_examples=150)
@given(values, st.data())
def test_no_signs_zeros_and_magnitude_are_nearer(x, data):
    weights = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(x), max_size=len(x)))
    x, w = torch.tensor(x, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
    w = w if bool(w.any()) else torch.ones_like(w)

    theta = Ternary().project(Target({"x": x}, metrics={"x": Metric(w)})).decode()["x"]

    assert theta.abs().unique().numel() <= 2
    signs = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=len(x))), dtype=torch.float64)
    magnitudes = signs @ (w * x) / (signs.abs() @ w).clamp_min(1e-300)  # least squares for each choice of signs
    best = (x - magnitudes[:, None] * signs).square() @ w
    assert float((w * (x - theta).square()).sum()) == pytest.approx(float(best.min()), abs=1e-12)


@pytest.mark.parametrize("power", [1, 3, 9])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_many_weights_the_best_count_survives(power, weighted):
    random = np.random.default_rng(power)
    x = random.normal(size=20_000) ** power
    w = random.exponential(size=x.size) if weighted else np.ones(x.size)
    metrics = {"x": Metric(torch.tensor(w))} if weighted else {}

    theta = Ternary().project(Target({"x": torch.tensor(x)}, metrics=metrics)).decode()["x"].numpy()

    order = np.argsort(-np.abs(x))
    gains = np.cumsum((w * np.abs(x))[order]) ** 2 / np.cumsum(w[order])
    assert (w * (x - theta) ** 2).sum() == pytest.approx((w * x**2).sum() - gains.max(), rel=1e-12)
    assert (theta != 0).sum() == gains.argmax() + 1


def test_several_layers_share_one_magnitude():
    # where the LC library raises ValueError
    target = Target({"a": torch.tensor([[4.0, -0.5]]), "b": torch.tensor([-5.0, 0.0, 6.0])})

    code = Ternary().project(target)

    assert {n: t.tolist() for n, t in code.decode().items()} == {"a": [[5.0, 0.0]], "b": [-5.0, 0.0, 5.0]}
    assert code.freedom().labels["b"].tolist() == [1, 0, 1]
    assert code.bits() == 32 + 8 + 8  # up to five weights of a tensor in a byte


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 7, 5000])
def test_a_second_projection_changes_nothing(dtype, count):
    weights = torch.randn(count, generator=torch.Generator().manual_seed(count)).to(dtype)
    code = Ternary().project(Target({"w": weights}))

    again = Ternary().project(Target(code.decode()))

    assert again.same_structure(code) and torch.equal(again.decode()["w"], code.decode()["w"])


def test_zeros_are_their_own_projection():
    assert not Ternary().project(Target({"w": torch.zeros(2, 3)})).decode()["w"].any()


def test_what_does_not_live_costs_nothing():
    alive = {"w": torch.tensor([True] * 5 + [False] * 5)}
    weights = torch.cat((torch.full((5,), 2.0), torch.zeros(5)))

    code = Ternary().project(Target({"w": weights}, alive=alive))

    assert torch.equal(code.decode()["w"], weights)
    assert code.bits() == 32 + 8
