from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.schemes import Binary, Metric, Target

values = st.lists(st.integers(-3, 3).map(float) | st.floats(-4, 4, width=32), min_size=1, max_size=6)


@given(values, st.data())
def test_no_signs_and_magnitude_are_nearer(x, data):
    weights = data.draw(st.lists(st.floats(0.125, 4), min_size=len(x), max_size=len(x)))
    x, w = torch.tensor(x, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)

    theta = Binary().project(Target({"x": x}, metrics={"x": Metric(w)})).decode()["x"]

    best = float("inf")
    for signs in product((-1.0, 1.0), repeat=len(x)):
        sign = torch.tensor(signs, dtype=torch.float64)
        magnitude = (w * sign * x).sum() / w.sum()  # least squares
        best = min(best, float((w * (x - magnitude * sign).square()).sum()))
    assert float((w * (x - theta).square()).sum()) == pytest.approx(best, abs=1e-12)


def test_the_magnitude_is_joint_over_tensors():
    target = Target({"a": torch.tensor([[1.0, -2.0]]), "b": torch.tensor([6.0])})

    code = Binary().project(target)

    assert {n: t.tolist() for n, t in code.decode().items()} == {"a": [[3.0, -3.0]], "b": [3.0]}
    assert code.bits() == 32 + 3
    free = code.freedom()
    assert free.labels["a"].tolist() == [[1, 1]] and free.signs["a"].tolist() == [[1, -1]]


def test_without_scale_there_are_only_signs():
    code = Binary(scale=False).project(Target({"w": torch.tensor([0.2, -7.0, 0.0, -0.0])}))

    assert code.decode()["w"].tolist() == [1.0, -1.0, 1.0, 1.0]
    assert code.bits() == 4
    assert not code.freedom().labels["w"].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("fill", [None, 0.0])
def test_a_second_projection_changes_nothing(dtype, fill):
    weights = torch.randn(301, generator=torch.Generator().manual_seed(3)).to(dtype)
    weights = weights if fill is None else torch.full_like(weights, fill)
    code = Binary().project(Target({"w": weights}))

    again = Binary().project(Target(code.decode()))

    assert again.same_structure(code) and torch.equal(again.decode()["w"], code.decode()["w"])


def test_what_does_not_live_stays_zero():
    alive = {"w": torch.tensor([True, False, True])}

    code = Binary().project(Target({"w": torch.tensor([1.0, 0.0, -3.0])}, alive=alive))

    assert code.decode()["w"].tolist() == [2.0, 0.0, -2.0]
    assert code.bits() == 32 + 2 and code.freedom().labels["w"].tolist() == [1, 0, 1]
