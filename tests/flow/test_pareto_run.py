"""Method pareto all the way: the front is one, its files are those that were judged, and it is told everywhere."""

from dataclasses import replace

import pytest
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.bench import Ratio
from condensa_core.errors import Interrupted
from condensa_core.flow import fronting
from condensa_core.flow.objective import Gain, Objective
from condensa_core.flow.trial import Judged
from condensa_core.progress import Advanced, PhaseStarted
from condensa_core.recipe import recipe_from
from condensa_core.report import Outcome, front_chart, read_outcome, tables, verdict
from condensa_core.run_directory import file_sha256
from condensa_core.search import Observation, read_journal

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
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("runs")
    outcome = flow.run(RECIPE, out=out, cache_dir=cache)
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

    published(directory / "result.json")
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


def test_the_front_is_of_what_was_measured_together(finished, monkeypatch):
    _, directory = finished
    objective = replace(Objective.of(RECIPE), name="throughput", direction="maximize")
    reference = Judged(None, type("File", (), {"path": directory / "reference" / "model.onnx"}), None)
    asked = []
    # the search's timings, of which 0 was a lucky one and 1 an unlucky one, and those of all in turns
    alone = {0: 3.0, 1: 1.1, 2: 1.2, 3: 1.3}
    together = {0: 1.4, 1: 2.0, 2: 1.2, 3: 0.9}
    margins = {0: 0.02, 1: 0.03, 2: 0.05, 3: 0.06}
    trials = {n: Observation({"s": n}, "ok", 0.9, 0.01, 1.0, {"ratio": {"value": r}}) for n, r in alone.items()}
    monkeypatch.setattr(Objective, "time", lambda self, named, **how: asked.append(named))
    monkeypatch.setattr(
        Objective,
        "read",
        lambda self, comparison, name: Gain(1.0, Ratio(together[int(name)], 0.0, 9.0)),
    )

    gains = fronting._gains(objective, reference, directory, trials)

    (named,) = asked  # one comparison, the reference first
    assert list(named) == ["reference", "0", "1", "2", "3"] and named["0"].parent == directory / "trials" / "000"
    assert fronting._undominated(gains, margins) == (1, 2)  # 3 is slower than the reference
    assert fronting._undominated(dict(list(gains.items())[3:]), margins) == ()


def test_the_picture_of_the_front_has_one_base(finished):
    outcome, _ = finished
    drawn = front_chart(outcome)

    # values measured on a machine twice as fast move nothing: only ratios to the reference of the same hour are drawn
    other_hour = [replace(member, objective=member.objective * 2) for member in outcome.front]
    assert front_chart(replace(outcome, front=tuple(other_hour))) == drawn
    stronger = [replace(member, ratio=replace(member.ratio, value=9.0)) for member in outcome.front]
    assert front_chart(replace(outcome, front=tuple(stronger))) != drawn


def test_a_run_killed_while_it_files_the_front_ends_the_same(finished, tmp_path, cache):
    whole, _ = finished

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "front":
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        flow.run(RECIPE, out=tmp_path, cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "front").iterdir()
    (directory / "front" / "099").mkdir()  # filed before the kill, and no member by the figures of the second time
    phases = []
    resumed = flow.resume(
        directory, cache_dir=cache, listener=lambda e: phases.append(e.phase) if isinstance(e, PhaseStarted) else None
    )

    assert "learn" not in phases
    assert resumed.front == whole.front
    assert {path.name for path in (directory / "front").iterdir()} == {f"{m.trial:03d}" for m in whole.front}
