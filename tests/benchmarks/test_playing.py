"""How a play is judged: by the noise-free curve, whatever the strategy believes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from curves import STRONGEST, task
from figures import SMOOTH_TARGETS, figures, plainly
from playing import KNOB, Contender, _plainly, best_throughput, judged, play, problem_of
from staircases import SETTINGS, stair_task

from condensa_core.search import Observation, Point, Reading, Told

QUIET = task(11, 1)  # without noise
LATE_STOP = 3


class Halving:
    """Bisection in t as a table of the truth: it knows the crossing, tells no lies and stops after `LATE_STOP` runs."""

    def __init__(self, crossing: float) -> None:
        self.crossing = crossing

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        low, high = 0.0, -math.log1p(-STRONGEST)
        for _ in told.observations:
            middle = (low + high) / 2
            low, high = (middle, high) if -math.expm1(-middle) <= self.crossing else (low, middle)
        return ({"sparsity": -math.expm1(-(low + high) / 2)},)

    def finished(self, told: Told) -> str | None:
        return "enough" if len(told.observations) >= LATE_STOP else None


class Given(Contender):
    def strategy(self, problem, seed, trials):
        return Halving(QUIET.crossing)


@pytest.fixture(scope="module")
def played():
    return play(Given("halving", "halving", {}), QUIET, runs=6)


def test_a_play_goes_on_past_the_stop_rule_and_says_where_that_would_have_ended(played):
    assert len(played["tried"]) == 6
    assert played["stop"]["runs"] == LATE_STOP and played["stop"]["reason"] == "enough"
    assert played["stop"]["returned"] == played["standings"]["3"]["returned"]
    assert played["standings"]["8"] == played["standings"]["12"]  # no more than six runs: the last word stands


def test_the_plain_answer_of_bisection_is_the_middle_of_a_bracket_that_halves(played):
    width = -math.log1p(-STRONGEST)
    t = -math.log1p(-QUIET.crossing)

    for runs in (3, 4, 5, 6):
        plain = played["standings"][str(runs)]["plain"]

        below = math.floor(t / (width / 2**runs)) * width / 2**runs
        assert plain["returned"] == pytest.approx(-math.expm1(-below), abs=1e-9)
        middle = -math.expm1(-(below + width / 2 ** (runs + 1)))
        assert plain["error"] == pytest.approx(abs(middle - QUIET.crossing), abs=1e-9)


def test_returned_points_are_judged_on_the_noise_free_curve():
    best = float(QUIET.throughput(QUIET.crossing))

    at, beyond, nothing = (judged(QUIET, s) for s in (QUIET.crossing, QUIET.crossing + 1e-4, 0.0))

    assert not at["infeasible"] and at["regret"] == at["loss"] == pytest.approx(0, abs=1e-9)
    assert beyond["infeasible"] and beyond["regret"] is None and beyond["loss"] == pytest.approx(1 - 1 / best)
    assert beyond["miss"] > 0
    assert not nothing["infeasible"] and nothing["regret"] == nothing["loss"] == pytest.approx(1 - 1 / best)


def test_best_of_a_staircase_is_the_fastest_setting_that_holds():
    stepped = stair_task(11, 3)
    slowest_first = sorted(
        (float(stepped.throughput(s)), s) for s in KNOB.grid(SETTINGS) if stepped.curve(s) >= stepped.level
    )

    assert best_throughput(stepped) == pytest.approx(slowest_first[-1][0])
    assert judged(stepped, slowest_first[-1][1])["loss"] == pytest.approx(0, abs=1e-12)


def test_noise_is_told_or_left_to_the_default():
    noisy = replace(QUIET, noise=0.003)

    assert problem_of(noisy).default_sd == 0.003
    assert problem_of(noisy, noise_told=False).default_sd == pytest.approx(0.002 * noisy.curve.reference)


def test_a_failed_trial_is_no_plain_answer():
    told = [
        Observation.of({"sparsity": 0.2}, Reading(QUIET.curve.reference)),
        Observation.failed({"sparsity": 0.4}, ""),
    ]

    assert _plainly(QUIET, told)[1] == 0.2


def test_brier_score_is_that_of_the_bins(played):
    count, held = played["standings"]["6"]["bins"]

    assert sum(count) <= 41 and all(h <= c for c, h in zip(count, held, strict=True))
    assert held[0] <= 1 and count[-1] - held[-1] <= 1  # six exact halvings leave no doubt but at the crossing itself
    assert 0 <= played["standings"]["6"]["brier"] < 0.1


def test_figures_are_medians_and_shares_over_tasks(played):
    wrong = {**played["standings"]["5"], "infeasible": True, "regret": None, "loss": 1.0, "miss": 0.01}
    other = {**played, "standings": {**played["standings"], "5": wrong}, "family": "b", "noise": 0.001}
    plays = [{**played, "family": "a", "noise": 0.0}, other]

    found = figures(plays)

    five = played["standings"]["5"]
    assert found["5"]["infeasible"] == 0.5 and found["5"]["by_noise"]["0.001"]["infeasible"] == 1
    assert found["5"]["loss"] == pytest.approx(np.mean([five["loss"], 1.0]))
    assert found["5"]["regret"] == five["regret"]  # of feasible returns only
    assert found["stop"]["runs"] == LATE_STOP and found["stop"]["long"] == 0  # 1247 records: 13 runs are not long
    missed = {t.what for t in SMOOTH_TARGETS if not t.met(found)}
    assert {"infeasible, all, 5 runs", "infeasible, noise 0.1 %, 5 runs"} <= missed
    assert "infeasible, no noise, 5 runs" not in missed
    plain = figures(plainly(plays))
    assert not SMOOTH_TARGETS[-3].known(plain) and plain["5"]["error"] == five["plain"]["error"]


def test_contenders_are_named_as_strategies_are():
    assert Contender.named("ils-ucb:raw") == Contender("ils-ucb:raw", "ils-ucb", {"coordinates": "raw"})
    assert Contender.named("ils-ucb:gamma=0.5,raw").options == {"gamma": 0.5, "coordinates": "raw"}
    assert Contender.named("bisection").options == {}
