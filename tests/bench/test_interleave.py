from __future__ import annotations

import numpy as np
import pytest

from condensa_core.bench.interleave import interleave
from condensa_core.bench.statistics import ratio_interval
from condensa_core.randomness import Seed


def never(rounds) -> bool:
    return False


def turns(names: str, rounds: int, seed: int) -> list[str]:
    calls: list[str] = []
    interleave(
        {name: lambda name=name: calls.append(name) for name in names},
        rounds=rounds,
        order=np.random.default_rng(seed),
        enough=never,
    )
    return calls


def test_everyone_acts_once_a_round_in_a_changing_order():
    calls = turns("abc", 40, seed=0)

    rounds = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 40
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) == 6  # all orders; one is missing in 40 rounds with probability 4e-3, and the seed is fixed


def test_the_seed_decides_the_order():
    assert turns("abcd", 10, seed=3) == turns("abcd", 10, seed=3)
    assert turns("abcd", 10, seed=3) != turns("abcd", 10, seed=4)


def test_results_are_kept_by_round():
    counter = iter(range(100))

    rounds = interleave({"a": lambda: next(counter)}, rounds=4, order=np.random.default_rng(0), enough=never)

    assert rounds == [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}]


def test_enough_sees_all_rounds_and_ends_them():
    lengths = []

    def enough(rounds) -> bool:
        lengths.append(len(rounds))
        return len(rounds) == 3

    rounds = interleave({"a": int}, rounds=10, order=np.random.default_rng(0), enough=enough)

    assert len(rounds) == 3
    assert lengths == [1, 2, 3]


def test_turns_cancel_a_drift_that_one_after_the_other_would_not():
    # given a machine that becomes twice as slow while it is measured, and two equal candidates
    now = iter(np.linspace(1, 2, 80))

    rounds = interleave(
        {"a": lambda: next(now), "b": lambda: next(now)}, rounds=40, order=np.random.default_rng(0), enough=never
    )

    ratio = ratio_interval([r["a"] for r in rounds], [r["b"] for r in rounds], seed=Seed())
    assert ratio.value == pytest.approx(1, abs=0.02)
    assert ratio.low <= 1 <= ratio.high
