"""Events in the words of the recipe: the metric's name, and whether a trial holds its bound."""

import pytest
from tiny_recipe import tiny

from condensa_core.flow.narration import narrated
from condensa_core.flow.objective import Objective
from condensa_core.progress import Advanced, Note, TrialEnded
from condensa_core.recipe import recipe_from


def told(event, reference=0.95, **changes):
    """The event as the listener of a run sees it, for a recipe that may lose 3 points of top-1."""
    recipe, heard = recipe_from(tiny(**{"constraint": {"metric": "top1", "max_drop": "3pp"}, **changes})), []
    narrated(heard.append, recipe.constraint, Objective.of(recipe), reference)(event)
    (one,) = heard
    return one


@pytest.mark.parametrize(
    ("value", "holds", "detail"),
    [
        (0.921, True, "s 0.5, holds the bound (top1 92.10 % >= 92.00 %), 2.00 M MACs"),
        (0.92, True, "s 0.5, holds the bound (top1 92.00 % >= 92.00 %), 2.00 M MACs"),
        (0.912, False, "s 0.5, below the bound (top1 91.20 % < 92.00 %), 2.00 M MACs"),
    ],
)
def test_a_trial_says_whether_it_holds_the_bound(value, holds, detail):
    event = told(TrialEnded(3, "ok", {"s": 0.5, "metric": value, "objective": 2e6}))

    assert event.detail == detail
    assert (event.number, event.status) == (3, "ok")
    assert dict(event.values) == {
        "s": 0.5, "metric": value, "objective": 2e6, "limit": pytest.approx(0.92), "holds": holds,
    }  # fmt: skip


@pytest.mark.parametrize(("value", "words"), [(2.1, "above the bound (loss 2.1 > 2)"), (1.9, "(loss 1.9 <= 2)")])
def test_a_metric_that_may_rise_is_bounded_from_above(value, words):
    event = told(TrialEnded(0, "reused", {"metric": value}), 1.0, constraint={"metric": "loss", "max_rise": "100%"})

    assert words in event.detail and event.detail.endswith(" (known from before)")


def test_an_objective_is_named_and_has_its_unit():
    event = told(TrialEnded(0, "ok", {"metric": 0.95, "objective": 39712.3}), objective={"maximize": "throughput"})

    assert event.detail.endswith(", throughput 39,712 per s")


def test_a_trial_without_a_metric_says_why():
    event = told(TrialEnded(1, "failed", {"s": 0.5, "failure": "L step 1: the loss is not finite"}))

    assert event.detail == "s 0.5, failed: L step 1: the loss is not finite"
    assert "holds" not in event.values


def test_validation_scores_carry_the_name_of_the_metric_and_everything_else_passes():
    step = told(Advanced("learn", 2, {"loss": 0.3, "val": 0.9, "distance": 0.1}))

    assert list(step.values.items()) == [("loss", 0.3), ("val_top1", 0.9), ("distance", 0.1)]
    assert told(Note("x")) == Note("x")
