"""Regular expressions that try more ways to fit a name than there is time for."""

import re
import time

import pytest
from tiny_recipe import tiny

from condensa_core.errors import PlanError
from condensa_core.flow import plan
from condensa_core.plan import regular_expressions
from condensa_core.plan.regular_expressions import TooLong, fitting, holding
from condensa_core.recipe import recipe_from

MANY_WAYS = "(.*)" * 25 + "!"  # 600 million ways to part a name of eleven characters

SCHEME = {"filter": {"sparsity": "$s"}}


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(regular_expressions, "TIMEOUT_S", 0.3)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(a*)*$", "(.*a){20}$", MANY_WAYS])
@pytest.mark.parametrize("find", [fitting, holding])
def test_what_would_not_end_is_stopped(hasty, pattern, find):
    begun = time.monotonic()

    with pytest.raises(TooLong):
        find(pattern, ("a" * 60 + "b",))

    assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize("pattern", ["a*a*b", "a*a{0,}b", r"\w+\w+!"])
def test_what_is_matched_in_this_process_takes_little_in_the_longest_name(pattern):
    names = ("a" * regular_expressions._LONGEST,)
    begun = time.process_time()

    assert regular_expressions._is_quick(pattern, names)
    assert fitting(pattern, names) == holding(pattern, names) == ()
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize("pattern", ["(conv|fc)[0-9]+", "a(b|c)*", "x", "(?i)CONV1", r"(\w)\1"])
def test_a_child_finds_what_this_process_would(pattern):
    names = ("conv1", "fc12", "abcb", "x", "zz", "a\nb", "é")

    assert fitting(pattern, names) == tuple(n for n in names if re.fullmatch(pattern, n))
    assert holding(pattern, names) == tuple(n for n in names if re.search(pattern, n))


@pytest.mark.parametrize(
    "section",
    [
        {"layers": [{"match": f"re:{MANY_WAYS}", "scheme": SCHEME}]},
        {"layers": [{"match": "all", "except": {"match": f"re:{MANY_WAYS}"}, "scheme": SCHEME}]},
        {"keep": [f"re:{MANY_WAYS}"]},
    ],
    ids=["match", "except", "keep"],
)
def test_a_plan_names_the_expression_that_does_not_end(hasty, section):
    with pytest.raises(PlanError) as told:
        plan(recipe_from(tiny(**section)))

    (problem,) = [p for p in told.value.problems if p.severity == "error"]
    assert problem.code == "E217"
    assert "tries too many ways to fit the names of this model: stopped after" in problem.message
    assert str(problem.place).split("[")[0].split(".")[0] == next(iter(section))
