"""The L-C loop against a problem solved by hand: every L step in closed form."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_families import dense_family

from condensa_core.graph.channels import Member
from condensa_core.learning import alternate, c_step
from condensa_core.schemes import Codebook, Filter, Part, Prune

A = torch.tensor([2.0, -1.0, 0.6, 0.5], dtype=torch.float64)


def run(mu, *, start=0, w=None, multipliers=None, earlier=None):
    """Minimise 1/2 ||w - a||^2 with two of four weights, from w0 = (1, -1.5, 1.2, 0.1)."""
    w = torch.tensor([1.0, -1.5, 1.2, 0.1], dtype=torch.float64) if w is None else w
    multipliers = {"w": torch.zeros(4, dtype=torch.float64)} if multipliers is None else multipliers

    def exact(step, mu, target):  # argmin 1/2 |w - a|^2 + mu/2 |w - t|^2
        w.copy_((A + mu * target["w"]) / (1 + mu))

    loop = alternate({"w": w}, [Part(("w",), Prune(0.5))], mu, exact, multipliers, start=start, earlier=earlier)
    return [(now, w.clone(), multipliers["w"].clone()) for now in loop]


MU = [0.5 * 1.5 ** (j - 1) for j in range(1, 31)]


def close(theta, expected):
    torch.testing.assert_close(theta, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_first_step_is_the_one_computed_by_hand():
    steps = [now for now, _, _ in run(MU)]

    assert steps[0].theta["w"].tolist() == [0, -1.5, 1.2, 0]  # direct compression keeps the wrong pair
    close(steps[1].theta["w"], [1.33333333, -1.16666667, 0, 0])


def test_the_survivors_found_lead_to_the_optimum():
    theta = run(MU)[-1][0].theta["w"]
    # With mu growing by 1.5 the survivors creep after the optimum by a factor mu / (1 + mu) a step and stop at
    # prod mu_j / (1 + mu_j) = 1.6 % of the way; fine-tuning at fixed structure takes them there, in closed form here.
    tuned = torch.where(theta != 0, A, torch.zeros((), dtype=torch.float64))

    close(tuned, [2.0, -1.0, 0, 0])
    assert float(0.5 * ((tuned - A) ** 2).sum()) == pytest.approx(0.305, abs=1e-5)
    close(theta, [2 - 2 * creep(MU), -1 + -0.5 * creep(MU), 0, 0])


def creep(ladder):
    """What is left of the survivors' distance to the optimum after all L steps."""
    return math.prod(mu / (1 + mu) for mu in ladder)


def test_at_constant_mu_the_loop_itself_reaches_the_limit():
    # mu must exceed 0.6, or the multiplier of the third weight lifts it above the second: the problem is not convex
    theta = run([1.0] * 40)[-1][0].theta["w"]

    close(theta, [2.0, -1.0, 0, 0])
    assert float(0.5 * ((theta - A) ** 2).sum()) == pytest.approx(0.305, abs=1e-5)


def test_fine_tuning_direct_compression_stays_where_it_started():
    mask = run([])[0][0].theta["w"] != 0

    best_with_that_mask = torch.where(mask, A, torch.zeros(()).double())

    assert float(0.5 * ((best_with_that_mask - A) ** 2).sum()) == pytest.approx(2.125)


def test_multipliers_converge_to_the_gradient_of_the_loss():
    now, w, multipliers = run([1.0] * 40)[-1]

    # stationarity of the augmented Lagrangian: (w - a) = lambda at w = Delta(Theta)
    close(multipliers, [0.0, 0.0, -0.6, -0.5])
    close(w - A, [0.0, 0.0, -0.6, -0.5])
    assert now.distance < 1e-5 and now.settled


def test_a_resumed_loop_takes_the_same_steps():
    whole = run(MU[:8])
    _, w, _ = whole[4]
    before = whole[3][2].clone()  # the generator had not yet updated lambda when it yielded: rebuild it
    now3, w3, _ = whole[3]
    multipliers = before - now3.mu * (w3 - now3.theta["w"])

    resumed = run(MU[:8], start=4, w=w.clone(), multipliers={"w": multipliers}, earlier=now3.shifted)

    assert [now.step for now, _, _ in resumed] == [4, 5, 6, 7, 8]
    for (a, _, _), (b, _, _) in zip(whole[4:], resumed, strict=True):
        torch.testing.assert_close(a.theta["w"], b.theta["w"])


def test_direct_compression_pays_for_what_it_keeps_as_the_first_step_will():
    w = {"w": torch.tensor([3.0, -0.8, 0.5, 1.2], dtype=torch.float64)}
    multipliers = {"w": torch.zeros(4, dtype=torch.float64)}

    steps = alternate(
        w, [Part(("w",), Prune(alpha=1.0, form="penalty"))], [2.0, 8.0], lambda step, mu, target: None, multipliers
    )

    # |w|_0 + mu/2 |w - theta|^2 keeps w^2 > 2 / mu: above 1 at mu = 2; later the multipliers move what is projected.
    assert next(steps).theta["w"].tolist() == [3.0, 0, 0, 1.2]
    assert next(steps).theta["w"].tolist() == [3.0, 0, 0, 1.2]
    assert next(steps).theta["w"].count_nonzero() == 4  # 2 / 8 is below all squares of w - lambda / mu


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_channels_carry_along_is_coded_whatever_the_order_of_the_parts(order):
    family = dense_family("a", 6, consumer="b")
    follows = Member("dw.weight", 0, np.arange(6).reshape(6, 1), "follows")
    family = dataclasses.replace(family, members=(*family.members, follows))
    weights = {"a.weight": torch.randn(6, 5), "dw.weight": torch.randn(6, 1, 3, 3)}
    parts = [Part(("a.weight", "dw.weight"), Filter(0.5), (family,)), Part(("dw.weight",), Codebook(2))]

    codes, theta = c_step(weights, [parts[i] for i in order])

    kept = codes[order.index(0)].keep[family.name]
    assert len(theta["dw.weight"][kept].unique()) == 2 and not theta["dw.weight"][~kept].any()
