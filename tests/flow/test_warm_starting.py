"""A run that starts from what an earlier one found."""

import json
import shutil

import pytest
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import CondensaError, Interrupted, RecipeError, ResumeError, UsageError
from condensa_core.progress import Note, TrialEnded, TrialStarted
from condensa_core.recipe import recipe_from
from condensa_core.run_directory import MANIFEST, RunDirectory
from condensa_core.search import read_journal


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(folder, cache, events=None, **changes):
    """Outcome and directory of a run of the tiny recipe."""
    outcome = flow.run(
        recipe_from(tiny(**changes)),
        out=folder, cache_dir=cache, listener=(events if events is not None else []).append,
    )  # fmt: skip
    return outcome, max((folder / "tiny").iterdir(), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, cache):
    return run(tmp_path_factory.mktemp("earlier"), cache, search={"trials": 4})


def expected(folder, cache, **changes):
    """What a run of the tiny recipe is told of earlier ones; it is stopped at its first trial."""

    def stop(event):
        if isinstance(event, TrialStarted):
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        flow.run(recipe_from(tiny(**changes)), out=folder, cache_dir=cache, listener=stop)
    (directory,) = (folder / "tiny").iterdir()
    _, entries = read_journal(directory / "trials.jsonl")
    (entry,) = [entry for entry in entries if entry.kind == "warm-start"]
    return entry.payload["runs"]


@pytest.fixture
def spoiled(earlier, tmp_path):
    """A copy of the earlier run to be damaged."""
    return shutil.copytree(earlier[1], tmp_path / "spoiled")


def notes(events):
    return [event.message for event in events if isinstance(event, Note)]


def test_a_warm_run_begins_where_the_earlier_one_met_the_bound(earlier, tmp_path, cache):
    events = []

    outcome, directory = run(tmp_path, cache, events, search={"trials": 2, "warm_start": str(earlier[1])})

    held = [trial.knobs["s"] for trial in earlier[0].trials if trial.feasible]
    broke = [trial.knobs["s"] for trial in earlier[0].trials if not trial.feasible]
    beyond = min((s for s in broke if s > max(held)), default=0.9)
    assert max(held) - 0.1 < outcome.trials[0].knobs["s"] < beyond + 0.1
    assert outcome.trials[0].knobs["s"] != earlier[0].trials[0].knobs["s"]
    (told,) = outcome.search.warm_starts
    assert (told.run, told.trials, told.differs) == (str(earlier[1]), len(earlier[0].trials), ())
    assert 0.1 <= told.sd < 0.5
    assert any("warm start: " in text and str(earlier[1]) in text for text in notes(events))
    saved = published(directory / "result.json")["search"]["warm_starts"]
    assert saved[0]["strength"] == told.strength


def test_a_cold_run_is_told_nothing(earlier):
    outcome, directory = earlier

    assert outcome.search.warm_starts == ()
    assert not (directory / "warm-start.json").exists()


@pytest.mark.parametrize(
    ("changes", "differs", "least"),
    [
        ({"seed": 4}, ("the data as read", "the reference's weights"), 0.3),
        ({"knobs": {"s": {"range": [0.0, 0.8]}}}, ("the knob's range",), 0.6),
        ({"compress": {"steps": 2}}, ("compress",), 0.6),
        ({"constraint": {"metric": "top1", "max_drop": "8pp"}}, (), 0.1),
    ],
)
def test_what_differs_is_said_and_widens(earlier, tmp_path, cache, changes, differs, least):
    search = {"trials": 1, "warm_start": [str(earlier[1])]}

    (told,) = expected(tmp_path, cache, **changes, search=search)

    assert set(differs) <= set(told["differs"]) and (bool(differs) or told["differs"] == [])
    assert least <= told["sd"] < least + 0.5


def test_a_larger_drop_is_expected_to_be_met_further_out(earlier, tmp_path, cache):
    strengths = []
    for drop in ("3pp", "40pp"):
        constraint = {"metric": "top1", "max_drop": drop}
        search = {"trials": 1, "warm_start": str(earlier[1])}
        (told,) = expected(tmp_path / drop, cache, constraint=constraint, search=search)
        strengths.append(told["strength"])

    assert strengths[0] < strengths[1]


def test_an_earlier_run_that_broke_nothing_says_how_far_it_held(earlier, tmp_path, cache):
    constraint = {"metric": "top1", "max_drop": "99pp"}
    search = {"trials": 1, "warm_start": str(earlier[1])}

    (told,) = expected(tmp_path, cache, constraint=constraint, search=search)

    strongest = max(trial.knobs["s"] for trial in earlier[0].trials)
    assert told["held"] is True
    assert (told["value"], told["sd"]) == (pytest.approx(strongest), 0.1)
    (log,) = (tmp_path / "tiny").glob("*/run.log")
    assert f"held up to s {strongest:.4g}" in log.read_text()


def test_a_run_that_is_killed_before_its_manifest_never_began(earlier, tmp_path, cache, monkeypatch):
    write = RunDirectory.write_json

    def killed(directory, name, value):
        if name == "warm-start.json":
            raise Interrupted("killed")
        return write(directory, name, value)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(RunDirectory, "write_json", killed)
        run(tmp_path, cache, search={"warm_start": str(earlier[1])})
    (directory,) = (tmp_path / "tiny").iterdir()

    with pytest.raises(CondensaError, match=r"holds no manifest\.json"):
        flow.resume(directory, cache_dir=cache)


def test_a_run_named_twice_counts_once(earlier, tmp_path, cache):
    twice = [str(earlier[1]), str(earlier[1] / ".." / earlier[1].name)]

    assert len(expected(tmp_path, cache, search={"trials": 1, "warm_start": twice})) == 1


def test_resuming_needs_the_earlier_run_no_more(earlier, spoiled, tmp_path, cache):
    whole, _ = run(tmp_path / "whole", cache, search={"trials": 2, "warm_start": str(spoiled)})
    interrupted = recipe_from(tiny(search={"trials": 2, "warm_start": str(spoiled)}))
    for event_type in (Note, TrialEnded):  # before the reference; after the first trial
        seen = []

        def stop(event, event_type=event_type, seen=seen):
            seen.append(event)
            if isinstance(event, event_type):
                raise Interrupted("stopped")

        folder = tmp_path / event_type.__name__
        kept = shutil.copytree(spoiled, tmp_path / "kept", dirs_exist_ok=True)
        with pytest.raises(Interrupted):
            flow.run(interrupted, out=folder, cache_dir=cache, listener=stop)
        shutil.rmtree(spoiled)
        (directory,) = (folder / "tiny").iterdir()

        resumed = flow.resume(directory, cache_dir=cache)

        assert [t.knobs for t in resumed.trials] == [t.knobs for t in whole.trials]
        assert resumed.search.warm_starts == whole.search.warm_starts
        shutil.move(kept, spoiled)


def test_a_run_whose_copy_is_lost_cannot_be_resumed(earlier, tmp_path, cache):
    def stop(event):
        raise Interrupted("stopped")

    recipe = recipe_from(tiny(search={"warm_start": str(earlier[1])}))
    with pytest.raises(Interrupted):
        flow.run(recipe, out=tmp_path, cache_dir=cache, listener=lambda e: stop(e) if isinstance(e, Note) else None)
    (directory,) = (tmp_path / "tiny").iterdir()
    (directory / "warm-start.json").write_text("[{}]")

    with pytest.raises(ResumeError, match=r"warm-start\.json is gone or damaged"):
        flow.resume(directory, cache_dir=cache)


def test_an_unfinished_run_in_use_is_read_and_not_touched(spoiled, tmp_path, cache):
    (spoiled / "result.json").unlink()
    journal = spoiled / "trials.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # a line that is being written
    before = {path: path.read_bytes() for path in spoiled.rglob("*") if path.is_file()}

    (told,) = expected(tmp_path, cache, search={"trials": 1, "warm_start": str(spoiled)})

    _, entries = read_journal(journal)
    assert told["trials"] == sum(entry.kind == "trial-ended" for entry in entries)
    assert {path: path.read_bytes() for path in spoiled.rglob("*") if path.is_file()} == before


def _without(path, *keys):
    head = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({k: v for k, v in head.items() if k not in keys}))


def _changed(path, **values):
    head = json.loads((path / MANIFEST).read_text())
    head.update({k: v for k, v in values.items() if k == "kind"})
    head["search"].update({k: v for k, v in values.items() if k != "kind"})
    (path / MANIFEST).write_text(json.dumps(head))


def _knob(path, **values):
    knob = json.loads((path / MANIFEST).read_text())["search"]["knob"]
    _changed(path, knob={**knob, **values})


def _trialless(path):
    journal = path / "trials.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))


def _torn(path):
    journal = path / "trials.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"{}\n", *lines[2:]]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "there is no run directory"),
        (lambda path: (path / MANIFEST).unlink(), "no manifest.json"),
        (lambda path: (path / MANIFEST).write_text("{"), "is damaged"),
        (lambda path: (path / MANIFEST).write_text("[]"), "is damaged"),
        (lambda path: _without(path, "search"), "never came to a search"),
        (lambda path: _changed(path, kind="ablation"), "an ablation"),
        (lambda path: _changed(path, metric="top5"), "bounds 'top5', this recipe 'top1'"),
        (lambda path: _changed(path, knob={}), "is damaged"),
        (lambda path: _knob(path, name="depth"), "searched knob 'depth', this recipe has 's'"),
        (lambda path: _knob(path, log=True, range=[0.1, 0.9]), "another coordinate"),
        (_trialless, "no finished trial"),
        (_torn, "this line is damaged"),
        (lambda path: (path / "trials.jsonl").unlink(), "cannot read the journal"),
    ],
)
def test_what_cannot_be_started_from_is_refused_before_anything_is_paid_for(spoiled, tmp_path, cache, spoil, message):
    spoil(spoiled)

    with pytest.raises(UsageError, match=message):
        run(tmp_path / "runs", cache, search={"warm_start": str(spoiled)})

    assert not (tmp_path / "runs").exists()


def test_a_recipe_without_a_knob_has_nothing_to_be_told(earlier, tmp_path, cache):
    layers = [{"match": "all", "scheme": {"filter": {"sparsity": 0.5}}}]

    with pytest.raises(RecipeError, match="needs a recipe with one knob"):
        run(tmp_path, cache, layers=layers, knobs=None, search={"warm_start": str(earlier[1])})
