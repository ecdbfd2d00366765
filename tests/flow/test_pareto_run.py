"""Method pareto all the way: the front is one, its files are those that were judged, and it is told everywhere."""

from dataclasses import replace

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.flow import fronting
from condensa_core.flow.objective import Objective
from condensa_core.flow.trial import Judged
from condensa_core.recipe import recipe_from
from condensa_core.report import Outcome, read_outcome, tables, verdict
from condensa_core.run_directory import file_sha256
from condensa_core.search import read_journal

QUANTIZE = {"quantize": {"dtype": "$precision"}}
RECIPE = recipe_from(
    tiny(
        name="front",
        knobs={"s": {"range": [0.0, 0.9]}, "precision": {"choices": ["int8", "float32", "fp16"]}},
        layers=[
            {"match": "all", "type": "Conv2d", "scheme": [{"filter": {"sparsity": "$s"}}, QUANTIZE]},
            {"match": "all", "type": "Linear", "scheme": QUANTIZE},
        ],
        compress={"steps": 2, "l_step": {"iterations": 15}, "finetune": {"epochs": 1}},
        constraint={"metric": "top1", "max_drop": "40pp"},
        objective={"minimize": "size.onnx"},
        search={"method": "pareto", "trials": 5},
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    outcome = flow.run(RECIPE, out=out, cache_dir=tmp_path_factory.mktemp("cache"))
    (directory,) = (out / "front").iterdir()
    return outcome, directory


def test_no_trial_that_holds_beats_a_member_of_the_front_in_both(finished):
    outcome, _ = finished
    trials = {t.number: t for t in outcome.trials}
    members = {member.trial for member in outcome.front}

    def beaten_by(mine, other):
        return other.objective <= mine.objective and other.metric >= mine.metric and other != mine

    holding = [t for t in outcome.trials if t.feasible and t.ratio > 1]
    assert members and members <= {t.number for t in holding}
    for number in members:
        assert not [t for t in holding if t.number in members and beaten_by(trials[number], t)]
    for t in holding:
        if t.number not in members and t.probability > 0.7:
            assert any(beaten_by(t, trials[number]) for number in members)
    ratios = [member.ratio.value for member in outcome.front]
    assert ratios == sorted(ratios, reverse=True)
    assert all({"val", "test"} == set(member.metrics) for member in outcome.front)


def test_files_of_the_front_are_those_that_were_judged(finished):
    outcome, directory = finished
    _, entries = read_journal(directory / "trials.jsonl")
    judged = {e.payload["number"]: e.payload["observation"]["details"] for e in entries if e.kind == "trial-ended"}

    for member in outcome.front:
        file = directory / member.folder / "model.onnx"
        assert file_sha256(file) == member.sha256 == judged[member.trial]["sha256"]
        assert file.stat().st_size == member.bytes == member.objective
        assert (file.parent / "weights.safetensors").is_file()
    assert outcome.best.trial in {t.number for t in outcome.trials}


def test_the_front_is_told_in_result_report_and_picture(finished):
    outcome, directory = finished

    assert read_outcome(directory / "result.json") == Outcome.from_json(outcome.to_json())
    shown = {table.title: table for table in tables(outcome)}
    assert [row[0].removesuffix(" *") for row in shown["front (* ships)"].rows] == [str(m.trial) for m in outcome.front]
    # 32 bits, 16, 8: the recipe's order does not matter
    untrained = [row[0] for row in shown["untrained, with one knob moved"].rows]
    assert untrained[-3:] == ["precision float32", "precision fp16", "precision int8"]
    assert "drawn in front.svg" in verdict(outcome)
    picture = (directory / "front.svg").read_text()
    assert picture.startswith("<svg") and all(
        word in picture for word in ("limit", "reference", ">front<", "size.onnx")
    )
    for member in outcome.front:
        assert f"trial {member.trial}: " in picture


def test_measured_objectives_of_the_front_are_measured_together(finished, monkeypatch):
    outcome, directory = finished
    monkeypatch.setattr(fronting, "SECONDS_EACH", 0.1)
    objective = replace(Objective.of(RECIPE), name="throughput", direction="maximize")
    files = {member.trial: directory / member.folder / "model.onnx" for member in outcome.front}
    asked = []
    timed = Objective.time
    monkeypatch.setattr(Objective, "time", lambda self, named, **how: asked.append(named) or timed(self, named, **how))
    reference = Judged(None, type("File", (), {"path": directory / "reference" / "model.onnx"}), None)

    gains = fronting._gains(objective, reference, files, {})

    (together,) = asked
    assert list(together) == ["reference", *map(str, files)]
    assert gains.keys() == files.keys()
    assert all(gain.value > 0 and gain.ratio.low <= gain.ratio.value <= gain.ratio.high for gain in gains.values())
