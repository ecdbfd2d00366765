"""Scalars, units, bounds and expressions."""

import math
import operator
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from condensa_core.recipe import ConstraintSpec, Expression, GateSpec, Quantity, SearchSpec
from condensa_core.recipe.document import parse
from condensa_core.recipe.records import Expectation

# YAML 1.2.2, section 10.3.2: the table of the core schema, and what YAML 1.1 would have made of the rest.
SCALARS = {
    "2:4": "2:4",
    "1:30": "1:30",
    "1e-4": 1e-4,
    "1E+3": 1000.0,
    "yes": "yes",
    "no": "no",
    "on": "on",
    "off": "off",
    "y": "y",
    "true": True,
    "FALSE": False,
    "tRUE": "tRUE",
    "null": None,
    "~": None,
    "0o17": 15,
    "017": 17,
    "0x1F": 31,
    "-12": -12,
    "+3": 3,
    "1_000": "1_000",
    "0b11": "0b11",
    ".5": 0.5,
    "5.": 5.0,
    "-.inf": -math.inf,
    ".INF": math.inf,
    "1.": 1.0,
    "2%": "2%",
    "2026-01-31": "2026-01-31",
    "<<": "<<",
    "=": "=",
    '"1e-4"': "1e-4",
    "'true'": "true",
    '"~"': "~",
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_mean_what_yaml_1_2_says(text):
    value = parse(f"a: {text}", "x.yaml").data["a"]

    assert (type(value), value) == (type(SCALARS[text]), SCALARS[text])


def test_not_a_number_is_read_as_one():
    assert math.isnan(parse("a: .NaN", "x.yaml").data["a"])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_yaml_writes_are_read_back(value):
    assert parse(yaml.safe_dump({"a": value}), "x.yaml").data["a"] == value


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("2%", 0.02, "relative"),
        ("7%", 0.07, "relative"),
        ("1.5pp", 0.015, "points"),
        ("1.5x", 1.5, "factor"),
        ("5ms", 0.005, "seconds"),
        ("12h", 43200.0, "seconds"),
        ("90 s", 90.0, "seconds"),
        ("6MiB", 6 * 1024 * 1024, "bytes"),
        ("6MB", 6_000_000, "bytes"),
        ("1e3B", 1000.0, "bytes"),
        ("1.5e3/s", 1500.0, "rate"),
        (0.74, 0.74, "bare"),
    ],
)
def test_units_are_exact(text, value, unit):
    assert Quantity.read(text) == Quantity(value, unit)


@pytest.mark.parametrize(
    "text", ["", "x", "%", "1,5x", "1.5 X x", "2 %%", "--1x", "1e400x", "NaN", "inf%", "2\n%", True, None, [2]]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(PydanticCustomError):
        Quantity.read(text)


amounts = st.decimals(min_value=0, max_value=10**6, places=4, allow_nan=False)


@given(amounts, st.sampled_from(["%", "pp", "x", "B", "kB", "MiB", "ms", "s", "min", "h", "/s", ""]))
def test_an_amount_written_out_reads_back_equal(amount, unit):
    quantity = Quantity.read(f"{amount}{unit}") if unit else Quantity.read(float(amount))

    text = str(quantity)

    assert (Quantity.read(text) if unit else Quantity.read(float(text))) == quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (6 * 2**20, "bytes", "6MiB"),
        (1.5 * 2**20, "bytes", "1.5MiB"),
        (6_000_000, "bytes", "6MB"),
        (6_000_001, "bytes", "6000001B"),
        (0.0, "bytes", "0B"),
        (1 / 3, "seconds", "0.3333333333333333s"),
        (0.00025, "seconds", "250us"),
        (43200.0, "seconds", "12h"),
        (90.0, "seconds", "90s"),
        (0.0, "seconds", "0s"),
        (-0.07, "relative", "-7%"),
        (1e9, "rate", "1000000000/s"),
        (0.25, "bare", "0.25"),
    ],
)
def test_an_amount_is_written_in_its_shortest_unit(value, unit, text):
    assert str(Quantity(value, unit)) == text


@pytest.mark.parametrize(
    ("bound", "reference", "limit", "worse", "better"),
    [
        ({"max_drop": "2%"}, 0.90, 0.882, 0.8819, 0.8821),
        ({"max_drop": "2pp"}, 0.90, 0.88, 0.8799, 0.8801),
        ({"at_least": 0.74}, 0.90, 0.74, 0.7399, 0.7401),
        ({"at_least": "1.5x"}, 200.0, 300.0, 299.0, 301.0),
        ({"at_least": "1000/s"}, 200.0, 1000.0, 999.0, 1001.0),
        ({"max_rise": "10%"}, 0.5, 0.55, 0.5501, 0.5499),
        ({"at_most": "5ms"}, 9.9, 0.005, 0.0051, 0.0049),
        ({"max_drop": "10%"}, -2.0, -2.2, -2.21, -2.19),  # a drop is down, whatever the sign
    ],
)
def test_bounds_hold_on_their_side_of_the_limit(bound, reference, limit, worse, better):
    spec = ConstraintSpec(metric="m", **bound)

    assert spec.bound == next(iter(bound))
    assert spec.limit(reference) == pytest.approx(limit, rel=1e-12)
    assert spec.met(limit, reference)
    assert spec.met(better, reference)
    assert not spec.met(worse, reference)
    assert not spec.met(math.nan, reference)


def test_the_timeout_is_in_seconds():
    assert SearchSpec(timeout="12h").timeout_s == 43200.0


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
leaves = st.tuples(st.sampled_from(["k", "m"]), st.none()) | st.tuples(st.just("number"), st.integers(1, 9))
trees = st.recursive(leaves, lambda t: st.tuples(st.sampled_from("+-*/"), st.tuples(t, t)), max_leaves=6)


def written(tree):
    kind, rest = tree
    if kind in OPERATORS:
        return f"({written(rest[0])} {kind} {written(rest[1])})"
    return str(rest) if kind == "number" else kind


def computed(tree, values):
    kind, rest = tree
    if kind in OPERATORS:
        return OPERATORS[kind](computed(rest[0], values), computed(rest[1], values))
    return rest if kind == "number" else values[kind]


@given(trees, st.integers(1, 9), st.integers(1, 9))
def test_expressions_compute_what_they_say(tree, k, m):
    values = {"k": k, "m": m}
    try:
        expected = computed(tree, values)
    except ZeroDivisionError:
        return

    expression = Expression.parse(written(tree))

    assert expression.evaluate(values) == expected
    assert expression.names == {name for name in ("k", "m") if re.search(rf"\b{name}\b", written(tree))}
    assert expression.bound({"k": k}).evaluate({"m": m}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k +",
        "k ** 9",
        "k.real",
        "k[0]",
        "f(k)",
        "__import__('os')",
        "'a' * 9",
        "True",
        "1j",
        "k if k else 1",
        "lambda: 1",
        "k, 1",
        "k := 1",
        "[k]",
        "k < 1",
        "~k",
        "k % 2",
        "k // 2",
        "(" * 150 + "k" + ")" * 150,
    ],
)
def test_anything_but_arithmetic_is_no_expression(text):
    with pytest.raises(ValueError, match=r"arithmetic|only numbers|longer"):
        Expression.parse(text)


@pytest.mark.parametrize(
    ("text", "fits", "not_"),
    [
        (4, [4], [3, 5]),
        ("4 tensors", [4], [5]),
        (">=2", [2, 99], [1]),
        ("2..5 layers", [2, 5], [1, 6]),
    ],
)
def test_expectations(text, fits, not_):
    expectation = Expectation.read(text)

    assert all(count in expectation for count in fits)
    assert not any(count in expectation for count in not_)
    assert expectation.of == ("tensors" if "tensor" in str(text) else "layers")


@given(st.from_regex(r"-?[0-9]{1,15}(\.[0-9]{1,15})?(e-?[0-9]{1,2})?(%|pp|x|B|KiB|us|ms|d)?", fullmatch=True))
def test_whatever_amount_is_read_can_be_written_and_read_again(text):
    try:
        amount = Quantity.read(text)
    except PydanticCustomError as refused:
        assert refused.type == "E106"  # beyond 10^15, which is the only thing wrong with such a text
        assert abs(float(re.split("[^0-9.e-]", text)[0])) > 1e9
        return

    assert abs(amount.value) < 1e15
    assert Quantity.read(str(amount)) == amount


def test_a_gate_knows_the_short_names_of_objectives():
    assert GateSpec.model_validate({"metric": "latency", "at_most": "5ms"}).metric == "latency.p50"
