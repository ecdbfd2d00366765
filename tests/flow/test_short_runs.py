"""Short runs before a search: evidence that is paid for, never shipped, and not trained twice."""

import json

import pytest
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted, RecipeError
from condensa_core.progress import Advanced, Note, TrialEnded
from condensa_core.recipe import read_recipe_text, recipe_from, recipe_schema, resolved_yaml
from condensa_core.search import read_journal

SEARCH = {"trials": 1, "short": {"trials": 2, "share": 0.25}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """(outcome, run directory, events) of a run with two short runs and one trial."""
    events = []
    out = tmp_path_factory.mktemp("runs")
    recipe = recipe_from(tiny(search=SEARCH))
    outcome = flow.run(recipe, out=out, cache_dir=cache, listener=events.append)
    (directory,) = (out / "tiny").iterdir()
    return outcome, directory, events


def test_short_runs_are_paid_for_and_are_no_trials(finished):
    outcome, directory, events = finished
    _, entries = read_journal(directory / "short.jsonl")
    ended = [entry.payload for entry in entries if entry.kind == "trial-ended"]

    short = outcome.search.short_runs
    assert [run.knobs for run in short.runs] == [payload["observation"]["point"] for payload in ended]
    assert (short.share, short.trainings, len(short.runs)) == (0.25, 2, 2)
    assert outcome.trainings_used == 1 == len(outcome.trials)
    own = outcome.trials[0].training_cost.training_macs
    assert outcome.training_cost.training_macs == own + short.training_cost.training_macs
    assert outcome.best.trial == 0 and outcome.best.knobs == outcome.trials[0].knobs
    assert sum(isinstance(event, TrialEnded) for event in events) == 1
    assert [e.message.split(":")[0] for e in events if isinstance(e, Note) and "short run" in e.message] == [
        "short run 1 of at most 2", "short run 1", "short run 2 of at most 2", "short run 2",
    ]  # fmt: skip


def test_a_short_run_trains_its_share_of_a_whole_one(finished):
    """A quarter of 3 L steps of 20 iterations and of an epoch, the same for every short run."""
    _, directory, _ = finished
    _, short = read_journal(directory / "short.jsonl")
    _, whole = read_journal(directory / "trials.jsonl")

    def passes(entries, phase):
        details = [e.payload["observation"]["details"] for e in entries if e.kind == "trial-ended"]
        return [d["training_cost"]["phases"][phase]["trained"] for d in details]

    for phase in ("learn", "finetune"):
        (of_one,) = passes(whole, phase)
        assert passes(short, phase) == [pytest.approx(of_one / 4, rel=0.15)] * 2


def test_the_trial_begins_where_short_runs_point(finished):
    """The first of a cold search is the middle of the range in log-density, whatever was trained before."""
    outcome, _, _ = finished
    first = outcome.search.short_runs.runs[0]

    assert outcome.trials[0].knobs["s"] != pytest.approx(first.knobs["s"], abs=0.01)


def test_an_interrupted_short_run_resumes_to_the_same_end(finished, tmp_path, cache):
    whole, _, _ = finished
    steps = []

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn":
            steps.append(event)
            if len(steps) == 5:  # in the second short run
                raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        flow.run(recipe_from(tiny(search=SEARCH)), out=tmp_path, cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "tiny").iterdir()
    again = []

    resumed = flow.resume(directory, cache_dir=cache, listener=again.append)

    assert resumed.search.short_runs.runs == whole.search.short_runs.runs
    assert [trial.knobs for trial in resumed.trials] == [trial.knobs for trial in whole.trials]
    _, entries = read_journal(directory / "short.jsonl")
    assert [entry.kind for entry in entries].count("trial-ended") == 2
    saved = published(directory / "result.json")
    assert len(saved["search"]["short_runs"]["runs"]) == 2


def test_a_recipe_without_a_knob_has_no_short_runs(tmp_path, cache):
    layers = [{"match": "all", "scheme": {"filter": {"sparsity": 0.5}}}]

    with pytest.raises(RecipeError, match="need a recipe with one knob"):
        flow.run(recipe_from(tiny(layers=layers, knobs=None, search=SEARCH)), out=tmp_path, cache_dir=cache)


def test_a_count_alone_means_a_fifth():
    recipe = recipe_from(tiny(search={"short": 3}))

    assert (recipe.search.short.trials, recipe.search.short.share) == (3, 0.2)
    again = read_recipe_text(resolved_yaml(recipe))
    assert again.search == recipe.search
    assert "short" in json.dumps(recipe_schema())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"short": 2, "method": "bisection"}}, "search method 'bisection' takes no 'short'"),
        ({"search": {"warm_start": "runs/x", "method": "grid"}}, "search method 'grid' takes no 'warm_start'"),
        ({"search": {"short": 2}, "compress": {"method": "direct"}}, "compress.method is direct"),
        ({"search": {"short": 0}}, "short"),
        ({"search": {"short": True}}, "short"),
        ({"search": {"short": {"share": 1.0}}}, "share"),
        ({"search": {"warm_start": []}}, "the list is empty"),
    ],
)
def test_what_would_say_nothing_is_refused(changes, message):
    with pytest.raises(RecipeError) as caught:
        recipe_from(tiny(**changes))

    assert any(message in problem.message or message in str(problem.key_path) for problem in caught.value.problems)


def test_short_runs_get_half_of_the_time_limit_and_are_charged_no_more(tmp_path, cache):
    recipe = recipe_from(tiny(search={"trials": 3, "timeout": "0.1s", "short": 2}))
    outcome = flow.run(recipe, out=tmp_path, cache_dir=cache)

    assert outcome.search.short_runs.trainings == 1
    assert outcome.trainings_used == 1  # a whole one: half of the limit was left
    assert "the time limit of 0.1 s is spent" in outcome.search.reason
