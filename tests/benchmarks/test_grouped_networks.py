"""Networks of several knobs that searches are judged on: their optimum by brute force, their parts by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from grouped_networks import BITS, CHANCE, DENSE, DROP, Group, grouped_network

LEVEL = DENSE - DROP


def at_rest(network) -> dict:
    return network.space.decode([0.0] * len(network.space.knobs))


@pytest.mark.parametrize("knobs", [2, 4, 8])
def test_the_reference_loses_nothing_and_gains_nothing(knobs):
    network = grouped_network(5, knobs)

    assert len(network.space.knobs) == knobs
    assert network.metric(at_rest(network)) == pytest.approx(DENSE)
    assert network.objective(at_rest(network)) == pytest.approx(1.0)


def test_a_group_loses_one_point_at_its_knee():
    group = Group(share=0.3, knee=1.2, steepness=4.0)

    np.testing.assert_allclose(group.lost(np.array([0.0, 1.2])), [0.0, 1.0])


def test_one_group_at_its_knee_costs_one_percent_of_accuracy_up_to_saturation():
    network = grouped_network(3, 4)
    sparsity = -math.expm1(-network.groups[1].knee)

    lost = DENSE - network.metric({**at_rest(network), "sparsity1": sparsity})

    assert lost == pytest.approx(0.01 / (1 + 0.01 / (DENSE - CHANCE)), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_of_two_knobs_is_that_of_a_fine_grid(seed):
    network = grouped_network(seed, 2)
    values = -np.expm1(-np.linspace(0, 3.9, 100))
    grid = ({"sparsity0": float(a), "sparsity1": float(b)} for a in values for b in values)

    best = max(network.objective(p) for p in grid if network.metric(p) >= LEVEL)

    assert best <= network.optimum() * (1 + 1e-6)
    assert network.optimum() == pytest.approx(best, rel=0.04)  # one step of the grid


@pytest.mark.parametrize("seed", range(2))
def test_no_random_point_of_eight_knobs_beats_the_optimum(seed):
    network = grouped_network(seed, 8)
    rng = np.random.default_rng(0)
    points = (network.space.decode([*rng.uniform(0, 0.35, 7), rng.choice([0.25, 0.75])]) for _ in range(1500))

    best = max((network.objective(p) for p in points if network.metric(p) >= LEVEL), default=1.0)

    assert best <= network.optimum() * (1 + 1e-6)


def test_sensitivity_reads_every_knob_alone_and_is_repeatable():
    network = grouped_network(9, 8)

    shown = network.sensitivity()

    assert shown == network.sensitivity()
    assert set(shown) == set(network.space.names)
    assert [value for value, _ in shown["bits"]] == list(BITS)
    for rows in shown.values():
        assert rows[0][1] > rows[-1][1] - 0.01
