"""The bracket under noise, dips and the order of trials."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from condensa_core.search import Observation
from condensa_core.search.bracket import Bracket, bracket_of
from condensa_core.search.judgement import Judged


def judged(unit, verdict):
    observation = Observation({"s": unit}, "ok", 0.9)
    return Judged(
        observation, (unit,), 0.0, 0.5, 0.0, holds=verdict == "holds", fails=verdict == "fails", trust=0.5, worth=0.0
    )


trials = st.lists(st.tuples(st.floats(0.01, 1), st.sampled_from(["holds", "fails", "unclear"])), max_size=8)


@given(trials, st.randoms())
def test_ends_are_the_strongest_that_holds_and_the_next_stronger_that_fails(trials, random):
    shuffled = random.sample(trials, len(trials))

    bracket = bracket_of([judged(*trial) for trial in shuffled])

    holding = [unit for unit, verdict in trials if verdict == "holds"]
    assert bracket.holds == max([0.0, *holding])
    assert (bracket.fails is None) == all(v != "fails" or u <= bracket.holds for u, v in trials)
    if bracket.fails is not None:
        assert bracket.holds < bracket.fails
        assert not any(v == "fails" and bracket.holds < u < bracket.fails for u, v in trials)


def test_a_failure_milder_than_what_holds_is_a_dip():
    assert bracket_of([judged(0.5, "fails"), judged(0.7, "holds")]) == Bracket(0.7, None)


def test_the_ends_are_outside():
    bracket = Bracket(0.2, 0.6)

    assert [bracket.contains(unit) for unit in (0.2, 0.4, 0.6)] == [False, True, False]
    assert Bracket(0.2, None).contains(1.0)
