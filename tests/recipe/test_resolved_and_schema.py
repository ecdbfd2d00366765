"""The recipe written out in full reads back equal; the JSON Schema says yes and no where the reader does."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.recipe import read_recipe, read_recipe_text, recipe_from, recipe_schema, resolved_yaml
from condensa_core.recipe.document import parse

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
FULL = """\
condensa: 1
name: everything
description: "a: b # c"
seed: 9223372036854775807
vars: {keep: 0.25, word: "1e-4", flag: true}
knobs: {k: {choices: [0.1, 0.5, 0.75]}, unused: {range: [0.01, 0.9], step: 0.01, log: true}}
model:
  {python: nets.py:Net, args: {widths: [8, 16], act: "on", none: null}, weights: w.safetensors, input: {x: [3, 32, 32]}}
data:
  train: {python: pkg.data:train, args: {a: {b: [1, "2:4"]}}, batch: 64}
  val: {python: pkg.data:val, limit: 100}
  test: {python: pkg.data:test}
reference: {train: {epochs: 3, lr: 1e-4, optimizer: adam}}
metrics: {acc: {kind: top1, better: higher}}
targets: {a: {batch: 1}, b: {threads: 2, if_missing: error}}
keep: [conv1, {match: "re:head\\\\..*", why: tiny}]
layers:
  - match: [a.**, "**.b"]
    except: {role: depthwise}
    scheme: [filter: {sparsity: $(1 - k * keep), align: 4, norm: none}, prune: {sparsity: 0.5}, quantize: {dtype: fp16}]
    expect: 2..5
  - match: rnn
    params: [weight_ih_l*]
    when: {has: [avx2, "sparse-2:4"], target: b, runtime: onnxruntime, device: cpu}
    override: true
    scope: model
    scheme: {prune: {sparsity: $k}}
compress: {method: lc, steps: 5, mu: {start: 1e-3, growth: 1.1}, l_step: {lr: 0.1}, finetune: {epochs: 0}}
constraint: {metric: acc, max_drop: 7%}
objective: {minimize: latency, on: b}
search:
  {method: ils-ucb, gamma: 0.3, kernel: {python: k.py:make, args: {period: 2}}, coordinates: raw, noise: 0.2pp,
   return: {probability: 0.9, clear_sd: 2}, trials: 3, timeout: 90min}
gates: [{metric: size.onnx, at_most: 6MiB}, {metric: acc, split: test, at_least: 0.5}]
output: {dir: out, export: [onnx], report: none}
"""


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_recipes_written_out_read_back_equal(file):
    recipe = read_recipe(file)

    text = resolved_yaml(recipe)

    assert read_recipe_text(text) == recipe
    assert resolved_yaml(read_recipe_text(text)) == text


def test_every_key_written_out_reads_back_equal():
    recipe = read_recipe_text(FULL)

    text = resolved_yaml(recipe)

    assert read_recipe_text(text) == recipe
    assert set(re.findall(r"\$[^\s,}]+", text)) == {"$(1", "$k"}  # vars are gone, knobs stand
    assert recipe.objective.name == "latency.p50"


def test_two_recipes_that_differ_in_one_value_are_not_equal():
    assert read_recipe_text(FULL) != read_recipe_text(FULL.replace("steps: 5", "steps: 6"))


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    [
        "1e-4",
        "2:4",
        "0o17",
        "on",
        "~",
        "",
        "1:30",
        "1.",
        "0x1F",
        ".inf",
        "- a",
        "a: b",
        "'",
        "=",
        "<<",
        "*a",
        "true",
        "é",
    ]
)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_any_argument_survives_being_written_out(value):
    if _has_dollar(value):
        return  # a reference, by design
    mapping = {**yaml.safe_load(SHIPPED[0].read_text()), "model": {"python": "m.py:f", "args": {"value": value}}}
    if not all(isinstance(key, str) and _plain(key) for key in _keys(value)):
        return
    recipe = recipe_from({**mapping, "objective": {"minimize": "macs"}})

    again = read_recipe_text(resolved_yaml(recipe))

    assert again.model.args == {"value": value}


def _has_dollar(value):
    if isinstance(value, str):
        return value.startswith("$")
    if isinstance(value, dict):
        return any(map(_has_dollar, value.values()))
    return isinstance(value, tuple) and any(map(_has_dollar, value))


def _keys(value):
    if isinstance(value, dict):
        return [*value, *(key for part in value.values() for key in _keys(part))]
    return [key for part in value for key in _keys(part)] if isinstance(value, tuple) else []


def _plain(key):
    return key not in ("timeout",)


def conforms(value, schema, root):
    """Whether a value satisfies the part of JSON Schema that condensa's schema uses (an independent reading of it)."""
    known = {
        "$ref", "$schema", "$defs", "anyOf", "type", "enum", "const", "properties", "required", "additionalProperties",
        "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "pattern", "minLength", "title", "description", "default", "propertyNames", "oneOf", "minProperties",
    }  # fmt: skip
    assert set(schema) <= known, set(schema) - known
    if "oneOf" in schema and sum(conforms(value, part, root) for part in schema["oneOf"]) != 1:
        return False
    if "$ref" in schema and not conforms(value, root["$defs"][schema["$ref"].split("/")[-1]], root):
        return False
    if "anyOf" in schema and not any(conforms(value, part, root) for part in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and (value != schema["const"] or type(value) is not type(schema["const"])):
        return False
    kinds = {
        "object": dict, "array": tuple, "string": str, "boolean": bool, "null": type(None),
        "integer": int, "number": (int, float),
    }  # fmt: skip
    kind = schema.get("type")
    if kind and (not isinstance(value, kinds[kind]) or (kind in ("integer", "number") and isinstance(value, bool))):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None and len(value) >= schema.get("minLength", 0)
    if isinstance(value, (int, float)):
        return (
            value >= schema.get("minimum", value)
            and value <= schema.get("maximum", value)
            and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
            and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        )
    if isinstance(value, tuple):
        return (
            schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
            and all(conforms(part, schema["items"], root) for part in value if "items" in schema)
            and all(conforms(p, s, root) for p, s in zip(value, schema.get("prefixItems", ()), strict=False))
        )
    if isinstance(value, dict):
        if len(value) < schema.get("minProperties", 0):
            return False
        extra = schema.get("additionalProperties", True)
        for key, part in value.items():
            if "propertyNames" in schema and not conforms(key, schema["propertyNames"], root):
                return False
            own = schema.get("properties", {}).get(key, extra)
            if own is False or (own is not True and not conforms(part, own, root)):
                return False
        return set(schema.get("required", ())) <= set(value)
    return True


@pytest.mark.parametrize(
    "text", [*(file.read_text() for file in SHIPPED), FULL], ids=[*(f.stem for f in SHIPPED), "all"]
)
def test_the_schema_accepts_what_the_reader_accepts(text):
    schema = recipe_schema()
    data = parse(text, "recipe.yaml").data

    assert conforms(data, schema, schema)
    assert conforms(parse(resolved_yaml(read_recipe_text(text)), "r.yaml").data, schema, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("condensa: 1", "condensa: 2"),
        ("objective:", "objektive:"),
        ("steps: 5", "steps: 0"),
        ("steps: 5", "steps: five"),
        ("method: lc", "method: lcc"),
        ("filter: {", "fliter: {"),
        ("align: 4", "density: 4"),
        ("sparsity: 0.5", "sparsity: 1.5"),
        ("max_drop: 7%", "max_drop: seven"),
        ("kind: top1", "kind: top2"),
        ("method: ils-ucb", "method: ils-usb"),
        ("gamma: 0.3", "gamma: 1.3"),
        ("coordinates: raw", "coordinates: cooked"),
        ("clear_sd: 2", "clear_sd: -2"),
        ("match: rnn", "match: []"),
        ("has: [avx2", "has: [avx3"),
        ("runtime: onnxruntime, device: cpu", "runtime: onnxruntime, device: tpu"),
        ("runtime: onnxruntime, device: cpu", "runtimes: onnxruntime, device: cpu"),
        ('{has: [avx2, "sparse-2:4"], target: b, runtime: onnxruntime, device: cpu}', "{}"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(old, new):
    schema = recipe_schema()
    assert FULL.count(old) == 1

    data = parse(FULL.replace(old, new), "recipe.yaml").data

    assert not conforms(data, schema, schema)


def test_jsonschema_agrees_where_it_is_installed():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; the structural test stands in")
    validator = jsonschema.Draft202012Validator(recipe_schema())
    validator.check_schema(recipe_schema())
    for file in SHIPPED:
        # read as YAML 1.2, where `on` is a text
        validator.validate(json.loads(json.dumps(parse(file.read_text(), file.name).data)))
