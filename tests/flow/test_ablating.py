"""Strategies against each other on one recipe: what is trained, what is kept, what is said."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import ResumeError, UsageError
from condensa_core.progress import TrialStarted
from condensa_core.recipe import recipe_from
from condensa_core.search import read_journal

RECIPE = recipe_from(tiny(compress={"method": "direct"}, search={"trials": 4}))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """An ablation of three strategies, and its directory."""
    out = tmp_path_factory.mktemp("runs")
    ablation = flow.ablate(RECIPE, ["bisection", "grid:raw", "bisection:raw"], out=out, cache_dir=cache)
    (directory,) = (out / "tiny").iterdir()
    return ablation, directory


def trained(directory):
    return [e.payload for e in read_journal(directory / "trials.jsonl")[1] if e.kind == "trained"]


def test_a_point_is_trained_once_whoever_asks_for_it(finished):
    ablation, directory = finished

    points = [json.dumps(entry["point"]) for entry in trained(directory)]
    asked = {json.dumps(point) for search in ablation.searches for point in search.points}

    assert ablation.strategies == ("bisection", "grid:raw", "bisection:raw")
    assert len(points) == len(set(points)) == ablation.trainings
    assert set(points) == asked
    assert [entry["number"] for entry in trained(directory)] == list(range(len(points)))


def test_result_and_picture_lie_in_the_directory(finished):
    ablation, directory = finished

    document = json.loads((directory / "ablation.json").read_text())
    assert ElementTree.fromstring((directory / "level.svg").read_text()) is not None
    assert all(len(s.distances) == len(s.points) and min(s.distances) >= 0 for s in ablation.searches)
    picture = ElementTree.fromstring((directory / "regret.svg").read_text())

    assert document["strategies"].keys() == set(ablation.strategies)
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polyline"))) == 3
    assert all(search.factors[-1] <= ablation.best[0] for search in ablation.searches if search.held[-1])


def test_another_strategy_takes_over_what_was_trained(finished, cache):
    ablation, directory = finished
    events = []

    again = flow.ablate(
        RECIPE, ["bisection", "grid:raw", "random"], resumed=directory, cache_dir=cache, listener=events.append
    )

    # the level that distances are taken to is known better with more trials
    assert [replace(s, distances=()) for s in again.searches[:2]] == [
        replace(s, distances=()) for s in ablation.searches[:2]
    ]
    started = [event for event in events if isinstance(event, TrialStarted)]
    assert len(started) == 4  # those of `random`; the others' journals are finished
    assert again.trainings <= ablation.trainings + 4


@pytest.mark.parametrize("name", ["bisect", "level-set:raw", "ei:cooked"])
def test_unknown_strategies_are_refused_at_once(tmp_path, name):
    with pytest.raises(UsageError):
        flow.ablate(RECIPE, [name], out=tmp_path / "runs")

    assert not (tmp_path / "runs").exists()


def test_other_directories_are_left_alone(tmp_path, cache):
    outcome = flow.run(
        recipe_from(tiny(compress={"method": "direct"}, search={"trials": 1})), out=tmp_path, cache_dir=cache
    )
    (run,) = (tmp_path / "tiny").iterdir()

    with pytest.raises(ResumeError, match="holds no ablation"):
        flow.ablate(RECIPE, ["grid"], resumed=run, cache_dir=cache)

    assert outcome.run_dir == str(run)
