"""Notes on schemes say what holds for the way a scheme is used, not for the scheme at large."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.flow.scheme_notes import scheme_notes
from condensa_core.recipe import recipe_from
from condensa_core.schemes import SCHEMES, Sum

LOW: dict[str, Any] = {"lowrank": {"rank": 2}}
INT8 = {"dtype": "int8", "granularity": "channel"}


def notes_of(scheme: Any, metric: str | None = None) -> list[str]:
    """The notes of one rule for every layer."""
    recipe = tiny(
        layers=[{"match": "all", "scheme": scheme}],
        knobs=None,
        objective={"minimize": "size.onnx"},
        search={"method": "none"},
    )
    plan = flow.plan(recipe_from(recipe)).plan
    return scheme_notes(plan, {}, metric)


def told(name: str) -> str:
    facts = SCHEMES[name].facts
    return f"{name}: speed: {facts.speeds_up}; file: {facts.shrinks_file}"


def test_low_rank_on_its_own_or_first_in_a_list_is_told_as_what_it_is():
    assert notes_of(LOW) == [told("lowrank")]
    assert notes_of([LOW, {"quantize": INT8}]) == [told("lowrank"), told("quantize")]


def test_a_sum_promises_no_speed_of_its_members():
    facts = Sum.facts

    notes = notes_of({"sum": [LOW, {"prune": {"sparsity": 0.9}}]})

    assert notes == [f"sum of lowrank and prune: speed: {facts.speeds_up}; file: {facts.shrinks_file}"]
    assert "none" in facts.speeds_up


def test_integers_that_compute_are_not_called_without_speed():
    (stored,), (computing,) = notes_of({"quantize": INT8}), notes_of({"quantize": {**INT8, "activations": "int8"}})

    assert "speed: none by itself" in stored
    assert computing == f"quantize: file: {SCHEMES['quantize'].facts.shrinks_file}"


@pytest.mark.parametrize(
    ("scheme", "metric", "unheeded"),
    [
        ({"binary": {}}, "gram", ["binary: of metric gram it heeds the diagonal alone"]),
        ({"sum": [LOW, {"ternary": {}}]}, "gram", ["ternary: of metric gram it heeds the diagonal alone"]),
        ({"filter": {"sparsity": 0.5}}, "gram", []),
        ({"binary": {}}, "diagonal", []),
        ({"binary": {}}, "identity", []),
        ({"binary": {}}, None, []),
        (LOW, "gram", []),
    ],
)
def test_a_metric_of_which_a_scheme_heeds_less_is_told(scheme, metric, unheeded):
    notes = notes_of(scheme, metric)

    assert [note for note in notes if "metric" in note] == unheeded
