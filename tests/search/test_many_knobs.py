"""The default search over several knobs, on networks whose optimum is known from a fine grid."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest

from condensa_core.randomness import Seed
from condensa_core.search import (
    Knob,
    LevelProblem,
    ManyKnobs,
    ObjectiveSurface,
    Point,
    Search,
    Space,
    point_key,
    strategy_named,
)
from condensa_core.search.many_knobs import curve_of

DENSE, DROP = 0.93, 0.01
SPACE = Space((Knob("a", range=(0.0, 0.95)), Knob("b", range=(0.0, 0.95)), Knob("bits", choices=(32, 16, 8))))


@dataclass(frozen=True)
class Network:
    """Two groups of weights and the bits of both; untrained, every damage is five times as large."""

    eight_bits: float = 0.15  # drops lost at 8 bits alone

    def accuracy(self, point: Point, harm: float = 1.0) -> float:
        a, b = -math.log1p(-float(point["a"])), -math.log1p(-float(point["b"]))
        bits = {32: 0.0, 16: 0.0, 8: self.eight_bits}[int(point["bits"])]
        lost = 0.02 * math.expm1(3 * a) + 0.15 * math.expm1(4 * b) + bits
        return 0.1 + (DENSE - 0.1) / (1 + DROP * harm * lost / (DENSE - 0.1))

    def smaller(self, point: Point) -> float:
        kept = 0.6 * (1 - float(point["a"])) + 0.4 * (1 - float(point["b"]))
        return 1 / (0.05 + 0.95 * kept * int(point["bits"]) / 32)

    def readings(self) -> dict:
        rest = {"a": 0.0, "b": 0.0, "bits": 32}
        values = {"a": (0.4, 0.6, 0.8), "b": (0.3, 0.5, 0.7), "bits": (16, 8)}
        return {name: [(v, self.accuracy({**rest, name: v}, 5.0)) for v in shown] for name, shown in values.items()}

    def problem(self, told: bool = True) -> LevelProblem:
        surface = ObjectiveSurface(SPACE, 1.0, function=self.smaller, name="compression")
        readings = self.readings() if told else None
        return LevelProblem(SPACE, surface, DENSE - DROP, DENSE, noise_sd=5e-4, sensitivity=readings)

    def optimum(self) -> float:
        """The best of 120 x 120 x 3 settings that keep the level."""
        grid = itertools.product(np.linspace(0, 0.95, 120), np.linspace(0, 0.95, 120), (32, 16, 8))
        points = ({"a": float(a), "b": float(b), "bits": bits} for a, b, bits in grid)
        return max(self.smaller(p) for p in points if self.accuracy(p) >= DENSE - DROP)


def search_of(problem: LevelProblem, budget: int = 10, seed: int = 0) -> Search:
    return Search(problem, strategy_named("level-set", problem, seed=Seed(seed)), budget=budget)


def play(search: Search, network: Network) -> Search:
    while asked := search.ask():
        search.tell(asked[0], network.accuracy(asked[0]))
    return search


def play_to(search: Search, network: Network, trials: int) -> list[str]:
    while len(search.observations) < trials and (asked := search.ask()):
        search.tell(asked[0], network.accuracy(asked[0]))
    return [point_key(o.point) for o in search.observations]


@pytest.fixture(scope="module", params=[True, False], ids=["told", "untold"])
def played(request):
    """Twelve trials with and without a sensitivity, and every warning an error."""
    search = search_of(Network().problem(request.param), 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return play(search, Network())


def test_it_comes_near_the_optimum_and_keeps_the_level(played):
    network = Network()

    found = played.recommend()

    assert found.feasible and found.point is not None
    assert network.accuracy(found.point) >= DENSE - DROP
    assert network.smaller(found.point) >= 0.95 * network.optimum()


def test_it_is_no_worse_than_the_best_feasible_point_of_its_curve(played):
    network = Network()
    curve = [SPACE.decode(row) for row in curve_of(played.problem).units.tolist()]
    along = max(network.smaller(p) for p in curve if network.accuracy(p) >= DENSE - DROP)

    found = played.recommend()

    assert network.smaller(found.point) >= 0.97 * along  # likelier to hold, for some of the objective


def test_it_starts_along_the_allocation_curve(played):
    curve = {point_key(SPACE.decode(row)) for row in curve_of(played.problem).units.tolist()}

    on_curve = [point_key(o.point) in curve for o in played.observations]

    assert all(on_curve[:3]) and not all(on_curve)


def test_a_killed_search_goes_on_as_if_nothing_had_happened():
    network = Network()
    whole = play_to(search_of(network.problem()), network, 7)
    first = search_of(network.problem())
    play_to(first, network, 5)

    second = search_of(network.problem())
    second.restore(first.state())

    assert play_to(second, network, 7) == whole


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_batch_is_distinct_spread_and_may_end_in_any_order(order):
    network = Network()
    search = search_of(network.problem(), 12)
    play_to(search, network, 4)

    batch = search.ask(3)
    for index in order:
        search.tell(batch[index], network.accuracy(batch[index]))
    more = search.ask(2)

    rows = np.array([SPACE.encode(p) for p in batch])
    gaps = [np.abs(p - q).max() for p, q in itertools.combinations(rows, 2)]
    assert len(batch) == 3 and min(gaps) > 1e-3
    assert not {point_key(p) for p in more} & {point_key(o.point) for o in search.observations}


def test_a_first_batch_of_four_lies_on_the_curve_and_pending_points_are_not_asked_again():
    network = Network()
    search = search_of(network.problem(), 12)

    first = search.ask(4)
    second = search.ask(4)

    assert len({point_key(p) for p in (*first, *second)}) == len(first) + len(second)
    gains = [network.smaller(p) for p in first]
    assert max(gains) / min(gains) > 1.5


def test_failed_trials_count_but_teach_nothing_and_are_not_repeated():
    network = Network()
    search = search_of(network.problem(), 9)
    tried = []
    while asked := search.ask():
        tried.append(point_key(asked[0]))
        failed = len(tried) in (1, 5)
        search.tell(asked[0], math.nan if failed else network.accuracy(asked[0]))

    assert len(set(tried)) == len(tried) <= 9
    assert search.recommend().feasible


def test_everything_failing_ends_with_the_budget_and_nothing_to_ship():
    search = search_of(Network().problem(), 6)
    while asked := search.ask():
        search.tell(asked[0])

    assert len(search.observations) == 6
    assert search.recommend().point is None


def test_when_only_the_reference_keeps_the_level_it_says_so():
    problem = Network().problem()
    search = search_of(problem, 6)
    while asked := search.ask():
        search.tell(asked[0], 0.5)

    found = search.recommend()

    assert not found.feasible and "no trial holds" in found.reason


def test_when_everything_keeps_the_level_it_ships_nearly_the_strongest_setting():
    network = Network()
    search = search_of(network.problem(), 10)
    while asked := search.ask():
        search.tell(asked[0], DENSE)

    found = search.recommend()

    strongest = network.smaller({"a": 0.95, "b": 0.95, "bits": 8})
    assert network.smaller(found.point) >= 0.9 * strongest


def test_a_constant_objective_is_not_worth_a_trial():
    surface = ObjectiveSurface(SPACE, 1.0, function=lambda point: 1.0)
    problem = replace(Network().problem(), profile=surface)

    search = search_of(problem)

    assert search.ask() == ()
    assert "better" in (search.stopped() or "")


def test_a_space_of_choices_alone_is_searched_to_its_best():
    space = Space((Knob("kind", choices=("none", "light", "heavy")), Knob("bits", choices=(32, 16, 8, 4))))
    share = {"none": 1.0, "light": 0.6, "heavy": 0.3}
    lost = {"none": 0.0, "light": 0.004, "heavy": 0.03, 32: 0.0, 16: 0.0, 8: 0.003, 4: 0.05}
    surface = ObjectiveSurface(space, 1.0, function=lambda p: 32 / (share[p["kind"]] * p["bits"]))
    search = search_of(LevelProblem(space, surface, DENSE - DROP, DENSE, noise_sd=5e-4), 8)

    while asked := search.ask():
        search.tell(asked[0], DENSE - lost[asked[0]["kind"]] - lost[asked[0]["bits"]])

    assert search.recommend().point == {"kind": "light", "bits": 8}


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_small_budgets_are_kept(budget):
    network = Network()

    search = play(search_of(network.problem(), budget), network)

    assert len(search.observations) == budget


def test_it_stops_when_another_trial_is_expected_to_gain_too_little():
    network = Network()
    problem = network.problem()
    strategy = ManyKnobs(problem, seed=Seed(), least_gain=0.05)

    search = play(Search(problem, strategy, budget=15), network)

    assert len(search.observations) < 15
    assert "5.0%" in (search.stopped() or "")
