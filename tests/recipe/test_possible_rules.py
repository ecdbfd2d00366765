"""What conditions and targets tell about rules before any machine is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.platforms import DEVICES, DEVICES_OF, FEATURES, INSTRUCTION_SETS, Gpu, Platform, Processor
from condensa_core.recipe import TargetSpec, WhenSpec, answer, check_recipe
from condensa_core.recipe.possible_rules import holds_nowhere

TARGETS = {"a": TargetSpec(), "b": TargetSpec(backend="openvino"), "c": TargetSpec(backend="torch", device="cuda")}
RECIPE = """\
condensa: 1
name: r
model: {builtin: small-cnn}
data: {builtin: digits}
knobs: {s: {range: [0, 0.9]}}
targets: {a: {}, b: {backend: openvino}}
layers:
  - match: all
    scheme: {prune: {sparsity: $s}}
    when: {target: b}
  - match: features.*
    scheme: ONE
    when: {runtime: onnxruntime}
    override: true
  - match: classifier
    scheme: OTHER
    when: {runtime: openvino}
    override: true
constraint: {metric: top1, max_drop: 2pp}
objective: {minimize: macs, on: b}
"""
INTEGERS = "{quantize: {dtype: int8, activations: int8, observer: %s}}"
BY_LATENCY = "{lowrank: {select: latency, budget: 0.5}}"
PRUNED = "{prune: {sparsity: 0.5}}"


def codes(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    return sorted(problem.code for problem in check_recipe(tmp_path / "r.yaml"))


def made_of(one, other):
    return RECIPE.replace("ONE", one).replace("OTHER", other)


def several(values):
    return st.none() | st.lists(st.sampled_from(list(values)), min_size=1, max_size=2).map(tuple)


@given(
    st.fixed_dictionaries(
        {
            "has": several(FEATURES),
            "target": several(TARGETS),
            "runtime": several(DEVICES_OF),
            "device": st.none() | st.sampled_from(DEVICES),
        }
    ).filter(lambda when: any(when.values()))
)
def test_conditions_exclude_each_other_where_not_even_a_machine_that_has_everything_holds_them(asked):
    when, able = WhenSpec(**asked), (Processor("all of it", frozenset(INSTRUCTION_SETS)), Gpu("H100", 90))
    places = [(runtime, device) for runtime, devices in DEVICES_OF.items() for device in devices]
    here = [Platform(*place, *able) for place in places]
    if when.target is not None:
        here = [Platform(TARGETS[name].backend, TARGETS[name].device, *able, name) for name in when.target]

    assert bool(holds_nowhere(when, TARGETS)) == (not any(answer(when, platform).holds for platform in here))


def test_rules_that_never_apply_together_may_reach_differently(tmp_path):
    differing = made_of(INTEGERS % "max", INTEGERS % "percentile")

    assert codes(tmp_path, differing) == ["W309"]  # of target a
    assert codes(tmp_path, differing.replace("    when: {runtime: onnxruntime}\n", "")) == ["E109", "W309"]


def test_a_rule_for_another_target_needs_no_target_to_time_its_ranks_on(tmp_path):
    skippable = made_of(BY_LATENCY, PRUNED).replace("openvino}}\nlayers", "openvino, if_missing: skip}}\nlayers")
    unsaid = skippable.replace("a: {}, b: {backend: openvino, if_missing: skip}", "").replace(
        "target: b", "device: cpu"
    )

    assert codes(tmp_path, skippable) == ["W309"]
    assert codes(tmp_path, skippable.replace("    when: {runtime: onnxruntime}\n", "")) == ["E109", "W309"]
    assert codes(tmp_path, unsaid.replace(", on: b", "").replace("runtime: onnxruntime", "device: cuda")) == []
    assert codes(tmp_path, unsaid.replace(", on: b", "")) == ["E413"]


def test_data_to_calibrate_rules_that_cannot_apply_changes_nothing(tmp_path):
    drawn = "{builtin: digits}", "{train: {python: d.py:t}, val: {python: d.py:v}, calib: {python: d.py:c}}"
    (tmp_path / "d.py").write_text("")

    assert codes(tmp_path, made_of(INTEGERS % "max", PRUNED).replace(*drawn)) == ["W305", "W309"]
    assert codes(tmp_path, made_of(PRUNED, INTEGERS % "max").replace(*drawn)) == ["W309"]


@pytest.mark.parametrize(
    ("when", "advice"),
    [
        ("{has: fp8, device: cpu}", "fp8 is of cuda only"),
        ("{has: [avx2, fp8]}", "avx2 is of cpu only; fp8 is of cuda only"),
        ("{runtime: openvino, device: gpu}", "openvino computes on cpu"),
        ("{target: b, runtime: [torch, onnxruntime]}", "target b is openvino on cpu"),
    ],
)
def test_conditions_that_exclude_each_other_are_told(tmp_path, when, advice):
    (tmp_path / "r.yaml").write_text(made_of(PRUNED, PRUNED).replace("{runtime: openvino}", when))

    _, found = check_recipe(tmp_path / "r.yaml")

    assert (found.code, found.place.line) == ("W308", 17) and found.help[0].startswith(advice)


@pytest.mark.parametrize(
    "used",
    [
        ("{target: b}", "{target: [a, b]}"),
        (
            "objective: {minimize: macs, on: b}",
            "objective: {minimize: macs, on: a}\ngates: [{metric: latency, on: b, at_most: 1s}]",
        ),
        ("objective", "gates: [{metric: latency, on: a, at_most: 1s}]\nobjective"),
        ("objective", "gates: [{metric: latency, on: a, at_mst: 1s}]\nobjective"),  # it might be what uses it
    ],
)
def test_a_target_that_something_is_asked_of_is_used(tmp_path, used):
    whole = made_of(PRUNED, PRUNED)

    assert codes(tmp_path, whole) == ["W309"]
    assert "W309" not in codes(tmp_path, whole.replace(*used))
