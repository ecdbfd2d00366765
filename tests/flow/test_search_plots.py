"""Pictures of a real search: one a trial, drawn again where they are missing, and never the end of a run."""

import errno
import xml.etree.ElementTree as ElementTree

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted, RunFailed
from condensa_core.flow.search_plots import SearchPlots
from condensa_core.progress import Note, TrialEnded
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from
from condensa_core.run_directory import RunDirectory
from condensa_core.search import (
    Journal,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    ObjectiveSurface,
    Observation,
    Search,
    Space,
    strategy_named,
)

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def hints(file):
    root = ElementTree.parse(file).getroot()
    return {title.text.split(",")[0] for title in root.iter(f"{SVG}title") if title.text.startswith("trial")}


def test_a_resumed_run_has_the_pictures_of_all_its_trials(tmp_path, cache):
    def stop(event):
        if isinstance(event, TrialEnded) and event.number == 1:
            raise Interrupted("stop")

    recipe = recipe_from(tiny(search={"trials": 3}))
    with pytest.raises(Interrupted):
        flow.run(recipe, out=tmp_path, cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "tiny").iterdir()
    first = directory / "trials/000/posterior.svg"
    before = first.read_text()
    first.unlink()
    (directory / "search.svg").write_text("that of the trial before: the process died between the two")

    outcome = flow.resume(directory, cache_dir=cache)

    assert len(outcome.trials) == 3
    assert first.read_text() == before  # of the search as it was then
    for number in range(3):
        seen = hints(directory / f"trials/{number:03d}/posterior.svg")
        assert seen == {f"trial {i}: s {t.knobs['s']}" for i, t in enumerate(outcome.trials[: number + 1])}
    assert (directory / "search.svg").read_text() == (directory / "trials/002/posterior.svg").read_text()
    assert (directory / "report.html").read_text().count("data:image/svg+xml") == 4
    assert not list(directory.rglob(".partial*"))


@pytest.fixture
def several(tmp_path):
    """A search over two knobs, its journal with two trials, and a run directory."""
    space = Space((Knob("early", range=(0.0, 0.9)), Knob("late", range=(0.0, 0.9))))
    sizes = ObjectiveSurface(
        space, 100.0, function=lambda p: 100 - 50 * p["early"] - 40 * p["late"], direction="minimize"
    )
    problem = LevelProblem(space, sizes, 0.9, 0.92)
    search = Search(problem, strategy_named("level-set", problem, seed=Seed(0)), budget=3)
    with RunDirectory.create(tmp_path, "several", "") as directory, Journal(tmp_path / "j", "") as journal:
        for number, metric in ((0, 0.91), (1, 0.8)):
            point = {"early": 0.2 + 0.3 * number, "late": 0.5}
            observation = Observation(point, "ok", metric, 0.003).to_record()
            journal.append("trial-ended", {"number": number, "observation": observation, "wall_s": 1.0})
        yield search, journal, directory


def test_several_knobs_are_drawn_as_metric_against_objective(several):
    plots = SearchPlots(*several, name="n", metric="top1", listener=pytest.fail)

    plots.ended(1)

    found = several[2].path / "trials/001/posterior.svg"
    assert hints(found) == {"trial 0: early 0.2", "trial 1: early 0.5"}
    words = {text.text for text in ElementTree.parse(found).getroot().iter(f"{SVG}text")}
    assert {"meets the limit", "breaks the limit", "limit", "reference"} <= words


def test_trials_that_are_open_then_are_shown(tmp_path):
    knob = Knob("s", range=(0.0, 0.9))
    profile = ObjectiveProfile.measured(knob, [(s, 1 / (1 - s)) for s in knob.grid(20)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.92)
    search = Search(problem, strategy_named("level-set", problem, seed=Seed(0)), budget=3)
    with RunDirectory.create(tmp_path, "open", "") as directory, Journal(tmp_path / "j", "") as journal:
        for number in (0, 1):
            journal.append("trial-started", {"number": number, "attempt": 0, "point": {"s": 0.5 + 0.2 * number}})
        observation = Observation({"s": 0.5}, "ok", 0.91).to_record()
        journal.append("trial-ended", {"number": 0, "observation": observation, "wall_s": 1.0})

        SearchPlots(search, journal, directory, name="n", metric="top1", listener=pytest.fail).ended(0)

    root = ElementTree.parse(directory.path / "search.svg").getroot()
    assert "being trained" in {text.text for text in root.iter(f"{SVG}text")}


def test_the_latest_picture_is_mended_where_the_process_died_before_it(several):
    plots = SearchPlots(*several, name="n", metric="top1", listener=pytest.fail)
    folder = several[2].path
    plots.ended(0)
    before = (folder / "search.svg").read_text()
    plots.ended(1)
    (folder / "search.svg").write_text(before)

    plots.ended(0)
    plots.ended(1)  # as a finished search is told when its run is resumed

    assert (folder / "search.svg").read_text() == (folder / "trials/001/posterior.svg").read_text() != before


def test_trials_that_end_out_of_order_keep_their_numbers(tmp_path):
    knob = Knob("s", range=(0.0, 0.9))
    profile = ObjectiveProfile.measured(knob, [(s, 1 / (1 - s)) for s in knob.grid(20)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.92)
    search = Search(problem, strategy_named("level-set", problem, seed=Seed(0)), budget=3)
    with RunDirectory.create(tmp_path, "order", "") as directory, Journal(tmp_path / "j", "") as journal:
        for number, s in ((2, 0.7), (0, 0.5)):
            observation = Observation({"s": s}, "ok", 0.91).to_record()
            journal.append("trial-ended", {"number": number, "observation": observation, "wall_s": 1.0})

        SearchPlots(search, journal, directory, name="n", metric="top1", listener=pytest.fail).ended(0)

    assert hints(directory.path / "search.svg") == {"trial 2: s 0.7", "trial 0: s 0.5"}


def test_an_aborted_trial_of_several_knobs_is_drawn_as_such(several):
    search, journal, directory = several
    observation = Observation({"early": 0.7, "late": 0.7}, "aborted", 0.6, 0.01, failure="given up").to_record()
    journal.append("trial-ended", {"number": 2, "observation": observation, "wall_s": 1.0})

    SearchPlots(search, journal, directory, name="n", metric="top1", listener=pytest.fail).ended(2)

    words = {text.text for text in ElementTree.parse(directory.path / "search.svg").getroot().iter(f"{SVG}text")}
    assert "given up, as expected" in words


def test_a_full_disk_costs_no_trial_and_is_told(several, monkeypatch):
    def full(self, name, content):
        raise RunFailed("cannot write") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunDirectory, "write_text", full)
    told = []
    plots = SearchPlots(*several, name="n", metric="top1", listener=told.append)

    plots.ended(1)

    assert told == [Note("the search could not be drawn: cannot write", level="warning")]
    assert not list(several[2].path.rglob("*.svg"))
