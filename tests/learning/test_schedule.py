import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.learning.schedule import (
    FIRM_PULL_END,
    FIRM_PULL_START,
    PULL_END,
    PULL_START,
    StepSize,
    default_ladder,
    explicit_ladder,
    stable_mu,
)


def nesterov_radius(a: float, m: float) -> float:
    """Spectral radius of torch's Nesterov recursion on 1/2 mu w^2, a = lr mu: v <- m v + g, w <- w - lr (g + m v)."""
    # with v in units of gradient / mu: v' = m v + w, w' = w - a (w + m v')
    matrix = np.array([[1 - a - a * m, -a * m * m], [1.0, m]])
    return max(abs(np.linalg.eigvals(matrix)))


@given(lr=st.floats(1e-4, 1), momentum=st.floats(0, 0.98))
def test_the_stable_mu_contracts_and_twice_it_is_the_edge(lr, momentum):
    mu = stable_mu(lr, momentum)

    assert nesterov_radius(lr * mu, momentum) < 1
    assert nesterov_radius(lr * mu * 2.02, momentum) > 1


@given(
    lr=st.floats(1e-3, 0.2),
    momentum=st.floats(0, 0.95),
    iterations=st.integers(1, 5000),
    steps=st.integers(2, 30),
)
def test_every_mu_is_positive_stable_and_pulls_harder_than_the_one_before(lr, momentum, iterations, steps):
    ladder = default_ladder([StepSize(lr, momentum, iterations)] * steps)

    assert all(0 < mu <= stable_mu(lr, momentum) for mu in ladder)
    assert ladder == sorted(ladder)


@pytest.mark.parametrize("firm", [False, True])
def test_the_default_ladder_closes_the_gap_it_says(firm):
    step = StepSize(0.05, 0.9, 2000)  # many small pulls: the exponential is the limit of the recursion

    ladder = default_ladder([step] * 5, firm=firm)

    first, last = (FIRM_PULL_START, FIRM_PULL_END) if firm else (PULL_START, PULL_END)
    for mu, pull in ((ladder[0], first), (ladder[-1], last)):
        w, v = 1.0, 0.0  # flat loss: the gradient is the penalty's
        for _ in range(step.iterations):
            g = mu * w
            v = step.momentum * v + g
            w -= step.lr * (g + step.momentum * v)
        # second-order terms and the build-up of momentum, about 1 / (1 - m) = 10 of 2000 iterations
        assert math.log(1 / w) == pytest.approx(pull, rel=0.05)


@pytest.mark.parametrize(("firm", "pulls"), [(False, (PULL_START, PULL_END)), (True, (FIRM_PULL_START, FIRM_PULL_END))])
def test_a_single_step_gets_the_middle(firm, pulls):
    (mu,) = default_ladder([StepSize(0.05, 0.9, 200)], firm=firm)

    assert mu * 0.05 * 200 / 0.1 == pytest.approx(math.sqrt(pulls[0] * pulls[1]))


def test_an_explicit_ladder_grows_to_its_cap():
    assert explicit_ladder(1e-3, 2, 3e-3, 4) == [1e-3, 2e-3, 3e-3, 3e-3]
    with pytest.raises(UsageError, match="start > 0"):
        explicit_ladder(0, 2, None, 3)
    with pytest.raises(UsageError, match="growth"):
        explicit_ladder(1, 0.5, None, 3)
