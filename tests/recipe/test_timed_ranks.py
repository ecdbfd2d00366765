"""Ranks chosen by latency: where a recipe may ask for them, and what they are measured on."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tiny_recipe import tiny

from condensa_core.errors import RecipeError
from condensa_core.recipe import Recipe, read_recipe_text

BY_LATENCY = {"lowrank": {"select": "latency", "budget": 0.6}}
PRUNE = {"prune": {"sparsity": 0.9}}
TIMED, COUNTED = {"minimize": "latency"}, {"minimize": "size.packed"}
CPU, SLOW = {"backend": "onnxruntime"}, {"backend": "onnxruntime", "threads": 2}


def read(scheme: Any, objective: dict[str, str], targets: dict[str, Any] | None = None) -> Recipe:
    rules = [{"match": "all", "scheme": scheme}]
    text = tiny(layers=rules, knobs=None, objective=objective, targets=targets, search={"method": "none"})
    return read_recipe_text(yaml.safe_dump(text, sort_keys=False), "recipe.yaml")


@pytest.mark.parametrize(
    ("objective", "targets"),
    [
        ({"minimize": "latency"}, None),  # ONNX Runtime on the CPU
        ({"maximize": "throughput", "on": "slow"}, {"cpu": CPU, "slow": SLOW}),
        ({"minimize": "size.packed"}, {"cpu": CPU}),
        ({"minimize": "macs", "on": "slow"}, {"cpu": CPU, "slow": SLOW}),
    ],
)
def test_a_timed_target_is_enough(objective: dict[str, str], targets: dict[str, Any] | None) -> None:
    recipe = read(BY_LATENCY, objective, targets)

    (scheme,) = recipe.layers[0].scheme
    assert scheme.settings["select"] == "latency" and not [p for p in recipe.problems if p.severity == "error"]


@pytest.mark.parametrize(
    ("scheme", "objective", "targets", "code", "message", "advice"),
    [
        (BY_LATENCY, COUNTED, None, "E413", "the objective 'size.packed' is on none", "declare one"),
        (BY_LATENCY, COUNTED, {"cpu": CPU, "slow": SLOW}, "E413", "measured on hardware", "cpu, slow"),
        ({"sum": [BY_LATENCY, PRUNE]}, TIMED, None, "E231", "a summand is no layer of its own", "or storage"),
        ([{"filter": {"sparsity": 0.5}}, BY_LATENCY], TIMED, None, "E231", "'filter' leaves others", "select: flops"),
    ],
)
def test_without_a_layer_or_a_target_to_time_there_are_no_such_ranks(
    scheme: Any, objective: dict[str, str], targets: dict[str, Any] | None, code: str, message: str, advice: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        read(scheme, objective, targets)

    (problem,) = [p for p in refused.value.problems if p.severity == "error"]
    assert (problem.code, problem.place.file) == (code, "recipe.yaml")
    assert message in problem.message and any(advice in line for line in problem.help)
    text = yaml.safe_dump(tiny(layers=[{"match": "all", "scheme": scheme}], knobs=None, objective=objective,
                               targets=targets, search={"method": "none"}), sort_keys=False)  # fmt: skip
    line = text.splitlines()[problem.place.line - 1]
    assert line.strip() == "select: latency" and line[problem.place.column - 1 :] == "latency"
