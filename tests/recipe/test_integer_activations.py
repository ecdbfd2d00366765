"""`activations: int8`: what is read, what it becomes when written out, and what is refused."""

import pytest

from condensa_core.errors import RecipeError
from condensa_core.recipe import read_recipe_text, resolved_yaml

RECIPE = """\
condensa: 1
name: integers
model: {builtin: small-cnn}
data: {builtin: digits}
layers:
  - {match: "stages.*", scheme: FIRST}
  - {match: classifier, scheme: SECOND}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
search: {method: none}
"""
PLAIN = "{quantize: {dtype: int8}}"


def read(first: str, second: str = PLAIN):
    return read_recipe_text(RECIPE.replace("FIRST", first).replace("SECOND", second), "r.yaml")


def problems(first: str, second: str = PLAIN) -> list[str]:
    with pytest.raises(RecipeError) as refused:
        read(first, second)
    return [
        f"{p.place.line}:{p.place.column} {p.code} {p.message} = {'; '.join(p.help)}" for p in refused.value.problems
    ]


def test_activations_have_an_observer_that_is_written_out():
    recipe = read("{quantize: {dtype: int8, granularity: channel, activations: int8}}")
    (scheme,) = recipe.layers[0].scheme

    assert scheme.observer == "mse" and recipe.layers[1].scheme[0].observer is None
    assert "activations: int8, observer: mse" in resolved_yaml(recipe)
    assert read_recipe_text(resolved_yaml(recipe), "again.yaml") == recipe
    assert not {"activations", "observer"} & scheme.settings.keys()  # weights are rounded the same without them


@pytest.mark.parametrize("observer", ["max", "percentile", "mse", "entropy", "kl"])
def test_every_rule_of_calibration_is_an_observer(observer):
    recipe = read(f"[prune: {{sparsity: 0.5}}, quantize: {{dtype: int4, activations: int8, observer: {observer}}}]")

    assert recipe.layers[0].scheme[1].observer == {"kl": "entropy"}.get(observer, observer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "dtype: uint8, activations: int8",
            "6:52 E109 integer kernels take weights of intN, not uint8 = write dtype: int8, or leave 'activations' out",
        ),
        (
            "dtype: fp16, activations: int8",
            "6:52 E109 integer kernels take weights of intN, not float16"
            " = write dtype: int8, or leave 'activations' out",
        ),
        (
            "dtype: int8, observer: mse",
            "6:58 E109 'observer' chooses the reach of activations, which are not rounded here = add activations: int8",
        ),
        (
            "dtype: int4, granularity: group, group: 8, activations: int8",
            "6:71 E109 integer kernels take one scale an output or a tensor, not one a group of weights"
            " = write granularity: channel",
        ),
        (
            "dtype: int8, symmetric: false, activations: int8",
            "6:69 E109 integer kernels take weights around zero: activations in integers need symmetric weights"
            " = leave 'symmetric' out",
        ),
        ("dtype: int8, activations: int7", "6:71 E107 unknown activations 'int7' = did you mean 'int8'?"),
        (
            "dtype: int8, activations: fp8",
            "6:71 E110 activations 'fp8' is not available in this version = available: int8",
        ),
        (
            "dtype: int8, activations: int8, observer: maximum",
            "6:87 E107 unknown observer 'maximum' = did you mean 'max'?",
        ),
    ],
)
def test_what_integer_kernels_cannot_take_is_refused(settings, message):
    assert problems(f"{{quantize: {{{settings}}}}}") == [message]


def test_a_sum_is_on_no_grid():
    assert problems("{sum: [prune: {sparsity: 0.9}, quantize: {dtype: int8, activations: int8}]}") == [
        "6:88 E231 a sum is on no grid of integers, so its layers cannot compute in them = leave 'activations' out"
    ]


def test_two_rules_with_two_observers_are_one_too_many():
    first, second = (f"{{quantize: {{dtype: int8, activations: int8, observer: {rule}}}}}" for rule in ("mse", "max"))

    found = problems(first, second)

    assert len(found) == 1 and found[0].startswith("7:87 E109 an earlier rule has observer 'mse'")
