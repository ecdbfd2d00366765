"""Nested phases as one percentage."""

from hypothesis import given
from hypothesis import strategies as st

from condensa_core.engines.monitor import Advance


def test_a_phase_below_is_a_part_of_one_step():
    advance = Advance()
    advance.start("build", None, 2)
    advance.start("optimise", "build", 4)

    advance.step("optimise")
    assert advance.percent == 12  # a quarter of the first half
    for _ in range(3):
        advance.step("optimise")
    assert advance.percent == 50
    advance.finish("optimise")
    advance.step("build")
    assert advance.percent == 50
    advance.step("build")
    assert advance.percent == 100


moves = st.tuples(st.sampled_from(["start", "step", "finish"]), st.integers(0, 3), st.integers(0, 5))


@given(st.lists(moves))
def test_it_never_falls_and_never_passes_its_end(events):
    advance = Advance()
    seen = [advance.percent]

    for move, number, steps in events:
        name = f"phase {number}"
        if move == "start":
            advance.start(name, f"phase {number - 1}" if number else None, steps)
        else:
            getattr(advance, move)(name)
        seen.append(advance.percent)

    assert seen == sorted(seen)
    assert seen[-1] <= 100
