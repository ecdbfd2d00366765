"""Rules with `when`: planned on this machine, kept with the run, and refused where they would be answered otherwise."""

import json
from types import SimpleNamespace

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted, MachineError, PlanError, ResumeError
from condensa_core.flow import conditions
from condensa_core.flow.comparable import fingerprint
from condensa_core.flow.conditions import answers_record, applied_here, require_same_answers
from condensa_core.flow.warm_starting import _shapes
from condensa_core.platforms import Gpu, Platform, Processor
from condensa_core.progress import Note
from condensa_core.recipe import recipe_from

RULES = [
    {"match": "all", "scheme": {"filter": {"sparsity": "$s"}}, "when": {"has": "int8-dot"}},
    {"match": "all", "scheme": {"filter": {"sparsity": "$t"}}, "when": {"has": "fp16"}},
]
RECIPE = tiny(layers=RULES, knobs={"s": {"range": [0.0, 0.9]}, "t": {"range": [0.0, 0.5]}})


@pytest.fixture
def machine(monkeypatch):
    """machine("avx_vnni") makes this one a machine with these flags."""

    class Here(Platform):
        flags = frozenset[str]()

        @classmethod
        def here(cls, runtime="onnxruntime", device="cpu", target="", arch=()):
            return Platform(runtime, device, Processor(f"CPU with {sorted(cls.flags)}", cls.flags), None, target, arch)

    monkeypatch.setattr(conditions, "Platform", Here)

    def become(*flags):
        Here.flags = frozenset(flags)

    return become


def test_two_rules_over_the_same_layers_bind_where_one_applies(machine):
    machine("avx_vnni")

    report = flow.plan(recipe_from(RECIPE))

    document = report.to_json()
    assert [row["knob"] for row in document["rows"]] == ["s"] and document["knobs"] == ["s"]
    assert document["left_out"] == [
        {"rule": 1, "line": None, "match": "all", "reason": "fp16 is not on this machine's CPU"}
    ]
    assert [assignment.rule for assignment in report.plan.assignments] == [0]


def test_the_other_machine_searches_the_other_knob(machine):
    machine("avx512_fp16")

    report = flow.plan(recipe_from(RECIPE))

    assert report.to_json()["knobs"] == ["t"] and {a.rule for a in report.plan.assignments} == {1}


def test_where_both_apply_they_overlap(machine):
    machine("avx_vnni", "avx512_fp16")

    with pytest.raises(PlanError, match=r"already claimed by layers\[0\]"):
        flow.plan(recipe_from(RECIPE))


def test_where_none_applies_the_machine_cannot_do_it(machine):
    machine("avx2")

    with pytest.raises(MachineError, match=r"no rule .* applies here: layers\[0\]: int8-dot is not on this machine"):
        flow.plan(recipe_from(RECIPE))


def test_a_run_keeps_the_answers_and_resumes_only_where_they_are_the_same(machine, tmp_path):
    machine("avx_vnni")
    told = []

    def stopping(event):
        if isinstance(event, Note) and event.message.startswith("left out"):
            told.append(event.message)
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        flow.run(recipe_from(RECIPE), out=tmp_path, cache_dir=tmp_path, listener=stopping)

    (folder,) = (tmp_path / "tiny").iterdir()
    head = json.loads((folder / "manifest.json").read_text())
    assert told == ["left out: layers[1]: fp16 is not on this machine's CPU"]
    assert told[0] in (folder / "run.log").read_text()
    assert head["platform"]["features"] == ["int8-dot"] and head["platform"]["hardware"] == "CPU with ['avx_vnni']"
    assert [rule["applies"] for rule in head["platform"]["rules"]] == [True, False]
    assert (folder / "resolved.yaml").read_text().count("when:") == 2

    machine("avx512_fp16")
    with pytest.raises(ResumeError) as refused:
        flow.resume(folder)

    assert "another machine (CPU with ['avx_vnni'])" in refused.value.message
    assert "applied there, and here not: int8-dot is not on this machine's CPU" in refused.value.message
    assert "applies here, and did not there: fp16 is not on this machine's CPU" in refused.value.message
    with pytest.raises(Interrupted):  # on a machine like the first it goes on
        machine("avx_vnni", "avx2")
        flow.resume(folder, listener=stopping)


def test_a_manifest_without_answers_is_refused(machine, tmp_path):
    machine("avx_vnni")
    recipe = recipe_from(RECIPE)
    (tmp_path / "manifest.json").write_text(json.dumps(answers_record(recipe)))
    require_same_answers(tmp_path, recipe)

    (tmp_path / "manifest.json").write_text("{}")

    with pytest.raises(ResumeError, match="does not tell which rules apply"):
        require_same_answers(tmp_path, recipe)


def test_trials_of_other_rules_are_not_comparable(machine):
    def bench(*flags):
        machine(*flags)
        splits, reference = SimpleNamespace(fingerprint="data"), SimpleNamespace(sha256="weights")
        return SimpleNamespace(recipe=applied_here(recipe_from(RECIPE)), splits=splits, reference=reference)

    one, same, other = bench("avx_vnni"), bench("avx_vnni", "avx2"), bench("avx512_fp16")

    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert {name for name, digest in _shapes(one).items() if _shapes(other)[name] != digest} == {"layers"}
    alone = SimpleNamespace(**{**vars(one), "recipe": recipe_from(RECIPE | {"layers": [{**RULES[0], "when": None}]})})
    assert _shapes(alone) == _shapes(one)  # a condition that holds changes nothing


@pytest.mark.parametrize("here", [(), (Gpu("H100", 90),), (Gpu("GTX 1080", 61),)])
@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        (["sm86", "sm89"], ""),
        ("sm75", "sparse-2:4 is not on sm75, which the target is built for"),
        (["sm75", "sm89"], "sparse-2:4 is not on sm75, which the target is built for"),
    ],
)
def test_a_target_built_for_gpus_is_asked_of_those_and_not_of_this_machine_s(monkeypatch, here, arch, reason):
    monkeypatch.setattr("condensa_core.platforms.platform.nvidia_gpus", lambda: here)
    rule = {"match": "all", "scheme": {"prune": {"sparsity": "$s"}}}
    recipe = recipe_from(
        tiny(
            layers=[rule, {**rule, "override": True, "when": {"has": "sparse-2:4"}}],
            targets={"rtx": {"backend": "tensorrt-rtx", "arch": arch}},
            output={"export": ["onnx", "engine"]},
        )
    )

    kept = answers_record(recipe)["platform"]

    assert applied_here(recipe).left_out == ({1: reason} if reason else {})
    assert kept["arch"] == ([arch] if isinstance(arch, str) else arch) and kept["hardware"] == ", ".join(kept["arch"])
    assert ("sparse-2:4" in kept["features"]) == (not reason)


def test_nothing_is_kept_or_asked_of_a_recipe_without_conditions(tmp_path):
    recipe = recipe_from(tiny())

    assert answers_record(recipe) == {}
    require_same_answers(tmp_path, recipe)  # there is no manifest
