import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from condensa_core.schemes import Metric, Prune, Target
from condensa_core.schemes.l1 import onto_ball

numbers = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0]) | st.floats(-4, 4, width=32)
vectors = st.lists(numbers, min_size=1, max_size=8).map(torch.tensor)
radii = st.sampled_from([0.0, 0.5, 1.0, 2.0]) | st.floats(0, 12)


def l1(w):
    return float(w.double().abs().sum())


def by_bisection(w, radius, energies):
    """The projection in float64 by halving an interval around tau: no sort, no prefix sums."""
    w = w.double()
    if l1(w) <= radius:
        return w
    low, high = 0.0, float((energies * w.abs()).max())
    for _ in range(200):
        tau = (low + high) / 2
        shrunk = (w.abs() - tau / energies).clamp(min=0)
        low, high = (tau, high) if float(shrunk.sum()) > radius else (low, tau)
    return torch.copysign((w.abs() - high / energies).clamp(min=0), w)


@given(vectors, radii)
def test_the_ball_projection_is_that_of_bisection(w, radius):
    theta = Prune(kappa=radius, norm="l1").project(Target({"w": w})).decode()["w"]

    assert l1(theta) <= radius  # feasible to the last bit: the LC library's is not
    torch.testing.assert_close(
        theta.double(), by_bisection(w, radius, torch.ones_like(w, dtype=torch.float64)), rtol=1e-6, atol=1e-6
    )


@given(vectors, radii, st.data())
def test_the_ball_projection_is_exact_in_the_metric(w, radius, data):
    energies = torch.tensor(data.draw(st.lists(st.sampled_from([0.1, 1.0, 3.0]), min_size=len(w), max_size=len(w))))

    theta = Prune(kappa=radius, norm="l1").project(Target({"w": w}, metrics={"w": Metric(energies)})).decode()["w"]

    assert l1(theta) <= radius
    torch.testing.assert_close(theta.double(), by_bisection(w, radius, energies.double()), rtol=1e-5, atol=1e-5)


def test_the_optimum_is_that_of_a_general_solver():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        w = torch.randn(5, generator=generator, dtype=torch.float64)
        energies = torch.rand(5, generator=generator, dtype=torch.float64) + 0.1
        radius = float(torch.rand((), generator=generator) * l1(w))

        theta = onto_ball(w.abs(), radius, energies)

        solved = minimize(
            lambda t, w=w, e=energies: float((e * (torch.tensor(t) - w.abs()) ** 2).sum()),
            torch.full((5,), radius / 5).numpy(),
            method="SLSQP",
            bounds=[(0, None)] * 5,
            constraints={"type": "ineq", "fun": lambda t, r=radius: r - t.sum()},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        torch.testing.assert_close(theta, torch.tensor(solved.x), rtol=0, atol=1e-5)


def test_what_the_library_gets_wrong_by_one_index():
    # it stops at the first index that fails the test and takes that one's tau: 1.5 instead of 1, and no projection
    assert onto_ball(torch.tensor([3.0, 1.0, 0.5]), 1.0).tolist() == [1.0, 0.0, 0.0]
    torch.testing.assert_close(onto_ball(torch.tensor([3.0, 2.9]), 2.0), torch.tensor([1.05, 0.95]))


@given(vectors, radii, st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
def test_projecting_again_changes_no_bit(w, radius, dtype):
    scheme = Prune(kappa=radius, norm="l1")
    once = scheme.project(Target({"w": w.to(dtype)}))

    twice = scheme.project(Target(once.decode()))

    assert twice.same_structure(once)
    assert torch.equal(twice.decode()["w"], once.decode()["w"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_many_weights_stay_inside_the_ball_and_close_to_its_edge(dtype):
    w = {
        "a": torch.randn(200, 100, generator=torch.Generator().manual_seed(2)).to(dtype),
        "b": torch.randn(300, generator=torch.Generator().manual_seed(3)).to(dtype),
    }
    scheme = Prune(kappa=500.0, norm="l1")

    code = scheme.project(Target(w))

    theta = code.decode()
    total = l1(theta["a"]) + l1(theta["b"])
    # 1e-15: the sum in another order
    assert 500 * (1 - 16 * torch.finfo(dtype).eps) <= total <= 500 * (1 + 1e-15)
    assert all(torch.equal(scheme.project(Target(theta)).decode()[name], theta[name]) for name in w)
    assert all(torch.equal(mask, theta[name] != 0) for name, mask in code.masks.items())


def test_entries_of_no_weight_give_way_first():
    energies = {"w": Metric(torch.tensor([0.0, 1.0, 0.0]))}

    tight = Prune(kappa=1.0, norm="l1").project(Target({"w": torch.tensor([5.0, 3.0, -5.0])}, metrics=energies))
    loose = Prune(kappa=20.0, norm="l1").project(Target({"w": torch.tensor([5.0, 3.0, -5.0])}, metrics=energies))
    enough = Prune(kappa=4.0, norm="l1").project(Target({"w": torch.tensor([5.0, 3.0, -5.0])}, metrics=energies))

    assert tight.decode()["w"].tolist() == [0, 1, 0]
    assert loose.decode()["w"].tolist() == [5, 3, -5]
    assert enough.decode()["w"].tolist() == [0, 3, 0]


@given(vectors, st.floats(0, 3), st.floats(0.25, 3), st.data())
def test_the_penalty_satisfies_its_stationarity_condition(w, alpha, mu, data):
    """0 in alpha d|theta| + mu weights (theta - w): the condition of a convex minimum, entry by entry."""
    energies = torch.tensor(data.draw(st.lists(st.sampled_from([0.1, 1.0, 3.0]), min_size=len(w), max_size=len(w))))
    target = Target({"w": w}, metrics={"w": Metric(energies)}, mu=mu)

    theta = Prune(alpha=alpha, norm="l1", form="penalty").project(target).decode()["w"]

    pull = mu * energies.double() * (w - theta).double()
    for t, p in zip(theta.tolist(), pull.tolist(), strict=True):
        if t:
            assert p == pytest.approx(math.copysign(alpha, t), abs=2e-5)
        else:
            assert abs(p) <= alpha + 2e-5


def test_dead_entries_take_no_part():
    alive = torch.tensor([True, False, True])
    w = torch.tensor([3.0, 0.0, -2.0])

    code = Prune(kappa=3.0, norm="l1").project(Target({"w": w}, alive={"w": alive}))

    assert code.decode()["w"].tolist() == [2.0, 0.0, -1.0]
    assert code.structure_bits() == 0  # both that could survive do
