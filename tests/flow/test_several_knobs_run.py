"""A recipe with two knobs, all the way: profile, sensitivity, trials, kill and resume."""

import json

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted
from condensa_core.progress import Advanced, Note, PhaseStarted
from condensa_core.recipe import recipe_from
from condensa_core.search import read_journal

KNOBS = {"first": {"range": [0.0, 0.9]}, "second": {"range": [0.0, 0.8]}}
LAYERS = [
    {"match": "features.0", "scheme": {"filter": {"sparsity": "$first"}}},
    {"match": "features.3", "scheme": {"filter": {"sparsity": "$second"}}},
]


def two_knobs(**changes):
    """The tiny recipe with a knob for each convolution."""
    compress = {"steps": 2, "l_step": {"iterations": 15}, "finetune": {"epochs": 1}}
    return recipe_from(tiny(**{"name": "two", "knobs": KNOBS, "layers": LAYERS, "compress": compress, **changes}))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    events = []
    out = tmp_path_factory.mktemp("runs")
    outcome = flow.run(two_knobs(), out=out, cache_dir=cache, listener=events.append)
    (directory,) = (out / "two").iterdir()
    return outcome, directory, events


def test_two_knobs_are_searched_and_what_ships_holds_the_bound(finished):
    outcome, _, _ = finished

    assert outcome.status == "ok" and outcome.constraint.met
    assert set(outcome.best.knobs) == {"first", "second"}
    assert outcome.best.macs < outcome.reference.macs
    assert len({(t.knobs["first"], t.knobs["second"]) for t in outcome.trials}) == outcome.trainings_used <= 4
    assert 0 <= outcome.search.probability <= 1 and outcome.search.bracket is None


def test_profile_and_sensitivity_are_journalled_before_the_first_trial(finished):
    _, directory, events = finished
    _, entries = read_journal(directory / "trials.jsonl")

    assert [entry.kind for entry in entries[:3]] == ["profile", "sensitivity", "trial-started"]
    measured = entries[0].payload["measured"]
    assert len({json.dumps(point) for point, _ in measured}) == len(measured) > 20
    macs = {(point["first"], point["second"]): value for point, value in measured}
    assert macs[0.0, 0.0] == entries[0].payload["reference"] > min(macs.values())  # nothing is cut at the mild ends
    readings = entries[1].payload["readings"]
    assert {name: len(pairs) for name, pairs in readings.items()} == {"first": 4, "second": 4}
    assert all(0 <= metric <= 1 for pairs in readings.values() for _, metric in pairs)
    assert [e.detail for e in events if isinstance(e, PhaseStarted) and e.phase == "sensitivity"]
    told = [e.message for e in events if isinstance(e, Note) and "alone: top1" in e.message]
    assert len(told) == 2


def test_a_killed_run_measures_nothing_twice_and_ends_the_same(finished, tmp_path, cache):
    whole, _, _ = finished

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn" and event.done == 1:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        flow.run(two_knobs(), out=tmp_path, cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "two").iterdir()
    phases = []
    resumed = flow.resume(
        directory, cache_dir=cache, listener=lambda e: phases.append(e.phase) if isinstance(e, PhaseStarted) else None
    )

    assert "learn" in phases and not {"profile", "sensitivity"} & set(phases)
    assert [(t.knobs, t.metric, t.objective) for t in resumed.trials] == [
        (t.knobs, t.metric, t.objective) for t in whole.trials
    ]
    assert resumed.best.trial == whole.best.trial


def test_a_run_killed_between_profile_and_sensitivity_keeps_the_profile(finished, tmp_path, cache):
    whole, _, _ = finished

    def stop(event):
        if isinstance(event, PhaseStarted) and event.phase == "sensitivity":
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        flow.run(two_knobs(), out=tmp_path, cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "two").iterdir()
    _, before = read_journal(directory / "trials.jsonl")
    phases = []
    resumed = flow.resume(
        directory, cache_dir=cache, listener=lambda e: phases.append(e.phase) if isinstance(e, PhaseStarted) else None
    )

    assert [entry.kind for entry in before] == ["profile"]
    assert "sensitivity" in phases and "profile" not in phases
    assert resumed.sensitivity == whole.sensitivity
    assert [(t.knobs, t.metric) for t in resumed.trials] == [(t.knobs, t.metric) for t in whole.trials]
