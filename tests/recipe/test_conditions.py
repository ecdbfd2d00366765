"""`when:` on made-up platforms: one pure question with an answer and its reason."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.bench import RUNTIMES as RUN_BY
from condensa_core.errors import MachineError, RecipeError
from condensa_core.platforms import DEVICES, FEATURES, INSTRUCTION_SETS, Gpu, Platform, Processor
from condensa_core.recipe import (
    WhenSpec,
    answer,
    applied_on,
    check_recipe,
    read_recipe,
    read_recipe_text,
    resolved_yaml,
)
from condensa_core.recipe.vocabulary import RUNTIMES

DOCS = Path(__file__).parents[2] / "docs" / "platforms.md"
TARGETS = ("here", "there", "far")
PLAIN = Platform("onnxruntime", "cpu", Processor("plain", frozenset({"avx2"})), None, "here")
VNNI = Platform("onnxruntime", "cpu", Processor("vnni", frozenset({"avx2", "avx_vnni"})), None, "here")
RECIPE = """\
condensa: 1
name: r
model: {builtin: small-cnn}
data: {builtin: digits}
knobs: {a: {range: [0, 0.9]}, b: {range: [0, 0.5]}}
targets: {here: {}, there: {backend: openvino}}
layers:
  - match: all
    scheme: {prune: {sparsity: $a}}
    when: {has: int8-dot}
  - match: all
    scheme: {prune: {sparsity: $b}}
    when: {target: there}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput, on: here}
"""

flags = st.none() | st.frozensets(st.sampled_from(INSTRUCTION_SETS))
platforms = st.builds(
    Platform,
    runtime=st.sampled_from(RUNTIMES),
    device=st.sampled_from(DEVICES),
    processor=st.builds(Processor, st.just("made up"), flags),
    gpu=st.none() | st.builds(Gpu, st.just("card"), st.integers(30, 130)),
    target=st.sampled_from(TARGETS),
)


@st.composite
def asked(draw):
    """A platform and a condition, each part of which holds on it more often than not."""
    platform = draw(platforms)

    def names(here, every):
        others = draw(st.lists(st.sampled_from(every), max_size=2))
        listed = draw(st.permutations([*others, *([here] if draw(st.integers(0, 3)) else [])]))
        return tuple(listed) or (here,)

    features = draw(st.lists(st.sampled_from(platform.features), max_size=3)) if platform.features else []
    if not features or not draw(st.integers(0, 3)):
        features.insert(draw(st.integers(0, len(features))), draw(st.sampled_from(list(FEATURES))))
    parts = {
        "has": tuple(features),
        "target": names(platform.target, TARGETS),
        "runtime": names(platform.runtime, RUNTIMES),
        "device": draw(st.sampled_from([platform.device, platform.device, *DEVICES])),
    }
    keys = draw(st.lists(st.sampled_from(list(parts)), min_size=1, max_size=4, unique=True))
    return {key: parts[key] for key in keys}, platform


@given(asked())
def test_a_rule_applies_where_every_feature_is_there_and_one_of_the_names_fits(question):
    when, platform = question

    found = answer(WhenSpec(**when), platform)

    holds = (
        set(when.get("has", ())) <= set(platform.features)
        and platform.target in when.get("target", TARGETS)
        and platform.runtime in when.get("runtime", RUNTIMES)
        and platform.device == when.get("device", platform.device)
    )
    assert found.holds == holds
    assert bool(found.reason) != holds


@given(asked())
def test_the_reason_is_that_of_a_condition_that_fails_by_itself(question):
    when, platform = question

    found = answer(WhenSpec(**when), platform)

    alone = [answer(WhenSpec(**{key: value}), platform) for key, value in when.items()]
    assert found.holds == all(each.holds for each in alone)
    assert found.reason in {each.reason for each in alone}


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ({"has": ("avx2", "fp16")}, "fp16 is not on this machine's CPU"),
        ({"target": ("there", "far")}, "the target is here, not there or far"),
        ({"runtime": ("openvino",)}, "the runtime is onnxruntime, not openvino"),
        ({"device": "cuda"}, "the device is cpu, not cuda"),
        ({"device": "cuda", "has": ("fp16",)}, "the device is cpu, not cuda"),
    ],
)
def test_reasons_as_people_read_them(when, reason):
    assert answer(WhenSpec(**when), PLAIN).reason == reason


def test_the_runtimes_of_conditions_are_those_that_measure():
    assert tuple(RUN_BY) == RUNTIMES


def test_rules_are_left_out_as_if_they_were_not_written():
    recipe = read_recipe_text(RECIPE)

    applied = applied_on(recipe, VNNI)

    assert list(applied.rules) == [0] and list(recipe.rules) == [0, 1]
    assert applied.left_out_texts == ("line 11: the target is here, not there",)
    assert applied == recipe and resolved_yaml(applied) == resolved_yaml(recipe)


def test_a_machine_on_which_no_rule_applies_cannot_do_it():
    with pytest.raises(MachineError) as refused:
        applied_on(read_recipe_text(RECIPE), PLAIN)

    assert refused.value.exit_code == 3
    assert "line 8: int8-dot is not on this machine's CPU; line 11: the target is here" in refused.value.message


def test_a_recipe_without_conditions_is_itself():
    recipe = read_recipe_text(re.sub(r"    when: .*\n", "", RECIPE).replace("all\n", "conv1\n", 1))

    assert applied_on(recipe, PLAIN) is recipe


def test_the_search_is_held_against_the_knobs_of_the_rules_that_apply():
    # statically two knobs, which bisection cannot walk; on any one machine one of them
    one_knob = RECIPE + "search: {method: bisection}\n"
    both = one_knob.replace("target: there", "target: here").replace("match: all", "match: conv1", 1)

    assert applied_on(read_recipe_text(one_knob), VNNI).left_out
    with pytest.raises(RecipeError, match="search method 'bisection' walks one knob, and this recipe has 2: a, b"):
        applied_on(read_recipe_text(both), VNNI)
    assert not applied_on(read_recipe_text(both), PLAIN).left_out.keys() & {1}


def test_integers_are_held_against_the_targets_where_their_rule_applies(tmp_path):
    text = RECIPE.replace("there: {backend: openvino}", "there: {backend: tensorrt-rtx, arch: sm89}")
    text = text.replace("prune: {sparsity: $a}", "quantize: {dtype: int8, activations: int8}").replace(
        "a: {range: [0, 0.9]}, ", ""
    )
    text += "output: {export: [onnx, engine]}\n"
    (tmp_path / "r.yaml").write_text(text.replace("{target: there}", "{has: avx2}"))
    recipe = read_recipe(tmp_path / "r.yaml")

    assert list(applied_on(recipe, PLAIN).left_out) == [0]
    with pytest.raises(RecipeError) as caught:
        applied_on(recipe, VNNI)
    assert [problem.code for problem in caught.value.problems] == ["E109"]
    assert "takes other integers" in caught.value.problems[0].message


def test_pareto_is_refused_where_one_knob_is_left():
    recipe = read_recipe_text(RECIPE + "search: {method: pareto}\n")

    with pytest.raises(RecipeError) as refused:
        applied_on(recipe, VNNI)

    (problem,) = refused.value.problems
    assert (problem.code, problem.place.line) == ("E307", 16)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("has: int8-dot", "has: int8dot", "10:17 E241 unknown feature 'int8dot' = did you mean 'int8-dot'?"),
        ("has: int8-dot", "has: [avx2, cuda12]", "10:24 E241 unknown feature 'cuda12' = did you mean 'cuda'?"),
        ("target: there", "target: ther", "13:20 E240 target 'ther' is not declared = did you mean 'there'?"),
        (
            "target: there",
            "target: [here, moon]",
            "13:27 E240 target 'moon' is not declared = known: here, there",
        ),
        (
            "target: there",
            "runtime: onnxruntim",
            "13:21 E107 unknown runtime 'onnxruntim' = did you mean 'onnxruntime'?",
        ),
        ("target: there", "device: cud", "13:20 E107 unknown device 'cud' = did you mean 'cuda'?"),
        ("{target: there}", "{}", "13:11 E106 'when' asks nothing = write one of: has, target, runtime, device"),
        ("target: there", "lacks: fp16", "13:12 E101 unknown key 'lacks' in 'layers[1].when'"),
        (
            "{maximize: throughput, on: here}",
            "{minimize: macs}",
            "15:23 E413 'when' asks about the objective's target: say which with 'on: <target>' = targets: here, there",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(tmp_path, old, new, problem):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace(old, new), encoding="utf-8")

    (found,) = check_recipe(file)

    told = f"{found.place.line}:{found.place.column} {found.code} {found.message}"
    told += "".join(f" = {line}" for line in found.help)
    assert told.startswith(problem)


def test_a_target_needs_targets(tmp_path):
    file = tmp_path / "r.yaml"
    text = RECIPE.replace("targets: {here: {}, there: {backend: openvino}}\n", "").replace(", on: here", "")
    file.write_text(text, encoding="utf-8")

    (found,) = check_recipe(file)

    assert (found.code, found.help) == ("E240", ("declare it under 'targets', or leave this out",))


def test_a_var_may_be_asked_for_and_a_knob_may_not(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace("has: int8-dot", "has: $need") + "vars: {need: fp16}\n", encoding="utf-8")
    assert read_recipe(file).layers[0].when == WhenSpec(has=("fp16",))

    file.write_text(RECIPE.replace("has: int8-dot", "has: $a"), encoding="utf-8")
    assert check_recipe(file)[0].code == "E303"


def test_the_example_in_the_documentation_is_a_recipe():
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)

    recipe = read_recipe_text("condensa: 1\nmodel: {builtin: small-cnn}\ndata: {builtin: digits}\n" + text)

    assert [rule.when for rule in recipe.layers] == [WhenSpec(has=("int8-dot",)), WhenSpec(runtime=("openvino",))]


@pytest.mark.parametrize(("when", "codes"), [("{has: fp8}", []), ("{runtime: tensorrt-rtx}", ["W307"])])
def test_an_architecture_changes_something_where_a_rule_asks_it(tmp_path, when, codes):
    file = tmp_path / "r.yaml"
    text = RECIPE.replace("here: {}", "here: {backend: tensorrt-rtx, arch: sm89}").replace("{has: int8-dot}", when)
    file.write_text(text)

    assert [problem.code for problem in check_recipe(file)] == codes
