"""A trial is given up only where its fate is certain, never ships, and a resumed run gives up the same ones."""

import itertools
import math

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted
from condensa_core.flow import early_abort
from condensa_core.flow.early_abort import certain_fate
from condensa_core.progress import Advanced, PhaseStarted
from condensa_core.recipe import recipe_from
from condensa_core.search import Entry, Observation, read_journal

# Accuracy at the start and at the end of fine-tuning, of the trials of three recorded runs: filters of a small CNN on
# Fashion-MNIST (sparsity .27 to .85) and on digits (.79 to .95; .27 to .94 with two L steps); then the reference's and
# the standard deviation of a difference to it.
RECORDED = (
    (
        [(0.77, 0.914), (0.8602, 0.9215), (0.9077, 0.9315), (0.9197, 0.9342), (0.9113, 0.9325), (0.903, 0.9315)],
        0.937,
        0.0012,
    ),
    ([(0.9861, 0.9861), (0.9694, 0.9749), (0.8607, 0.9721), (0.7744, 0.961), (0.9694, 0.9777)], 0.986, 0.004),
    (
        [(0.9109, 0.9666), (0.2368, 0.727), (0.4513, 0.8886), (0.9721, 0.9833), (0.8357, 0.9443), (0.9777, 0.9805)],
        0.985,
        0.004,
    ),
)


def fate(earlier, so_far, *, reference, level, better="higher", noise_sd=0.0, epoch=0):
    return certain_fate(earlier, so_far, epoch, reference=reference, level=level, better=better, noise_sd=noise_sd)


def test_no_recorded_trial_that_reached_its_level_is_given_up_whatever_came_before_it():
    given_up = 0
    for trials, reference, sd in RECORDED:
        for (start, end), drop in itertools.product(trials, (0.005, 0.01, 0.02, 0.05)):
            others = [list(trial) for trial in trials if trial != (start, end)]
            for count in range(2, len(others) + 1):
                for earlier in itertools.combinations(others, count):
                    found = fate(earlier, start, reference=reference, level=reference - drop, noise_sd=sd)
                    if found is None:
                        continue
                    given_up += 1
                    assert end < reference - drop
                    assert abs(found.metric - end) < 3 * math.hypot(found.sd, sd)  # what the search is told
    assert given_up >= 50


def test_where_lower_is_better_the_mirror_image_is_given_up():
    earlier = [[0.5, 0.86], [0.7, 0.92]]

    higher = fate(earlier, 0.05, reference=0.95, level=0.94)
    mirrored = fate([[-a, -b] for a, b in earlier], -0.05, reference=-0.95, level=-0.94, better="lower")

    assert higher is not None and mirrored is not None
    assert (mirrored.metric, mirrored.sd) == pytest.approx((-higher.metric, higher.sd))
    assert 0.05 < higher.metric < 0.94 - 2 * higher.sd


@pytest.mark.parametrize(
    ("earlier", "so_far"),
    [
        ([], 0.05),
        ([[0.5, 0.86]], 0.05),  # one trial shows nothing
        ([[0.5, 0.86], [0.949, 0.9495]], 0.05),  # nor does one that had no gap beyond noise
        ([[0.5, 0.86], [0.7, 0.951]], 0.05),  # one that closed its gap shows that all may
        ([[0.5, 0.86], [0.7, 0.92]], 0.9),  # near enough
        ([[0.1, 0.86], [0.7, 0.92]], 0.6),  # a gain twice as large as the largest would do
        ([[], []], 0.05),  # nothing was fine-tuned
    ],
)
def test_nothing_is_certain(earlier, so_far):
    assert fate(earlier, so_far, reference=0.95, level=0.94, noise_sd=0.001) is None


def test_what_integers_cost_the_trials_before_is_expected_of_this_one_too():
    earlier, lost = [[0.5, 0.86], [0.7, 0.92]], [-0.02, -0.04]
    bounds = {"reference": 0.95, "level": 0.94, "better": "higher", "noise_sd": 0.0}

    floating = certain_fate(earlier, 0.05, 0, **bounds)
    integers = certain_fate(earlier, 0.05, 0, carried=lost, **bounds)

    assert integers.metric == pytest.approx(floating.metric - 0.03)
    assert integers.sd > floating.sd
    assert certain_fate(earlier, 0.05, 0, carried=[0.9, 0.0], **bounds) is None  # a file may have read that much more


def test_a_brief_says_what_files_read_more_than_their_models():
    def ended(status, metric, history):
        observation = Observation({"s": 0.5}, status, metric, details={"finetuned_val": history})
        return Entry("trial-ended", {"observation": observation.to_record()})

    entries = [ended("ok", 0.8, [0.5, 0.85]), ended("aborted", 0.1, [0.1]), ended("ok", 0.7, [])]

    assert early_abort.brief(entries)["carried"] == [pytest.approx(-0.05)]


RECIPE = tiny(
    search={"method": "grid", "trials": 4, "early_abort": True},
    constraint={"metric": "top1", "max_drop": "5pp"},
    compress={**tiny()["compress"], "finetune": {"epochs": 3}},
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def eager(monkeypatch):
    """The rule without its margins, so that it speaks on a validation split of a few hundred images."""
    monkeypatch.setattr(early_abort, "SAFETY", 1.0)
    monkeypatch.setattr(early_abort, "NOISE_SD", 0.0)


def observations(folder):
    (directory,) = (folder / "tiny").iterdir()
    entries = read_journal(directory / "trials.jsonl")[1]
    return [entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"]


def essence(observation):
    return observation["point"], observation["status"], observation["metric"], observation["sd"]


def test_a_trial_given_up_is_told_and_never_ships_and_resuming_agrees(eager, tmp_path, cache):
    tunings = []

    def stop(event):
        if isinstance(event, PhaseStarted) and event.phase == "finetune":
            tunings.append(event)
        if len(tunings) == 3 and isinstance(event, Advanced) and event.phase == "learn":
            raise Interrupted("stop")

    outcome = flow.run(recipe_from(RECIPE), out=tmp_path / "whole", cache_dir=cache)
    with pytest.raises(Interrupted):
        flow.run(recipe_from(RECIPE), out=tmp_path / "stopped", cache_dir=cache, listener=stop)
    (directory,) = (tmp_path / "stopped" / "tiny").iterdir()
    flow.resume(directory, cache_dir=cache)

    whole = observations(tmp_path / "whole")
    aborted = [o for o in whole if o["status"] == "aborted"]
    assert aborted and [essence(o) for o in observations(tmp_path / "stopped")] == [essence(o) for o in whole]
    assert all(len(o["details"]["finetuned_val"]) <= 3 for o in aborted)  # fewer than the start and three epochs
    rows = {row.number: row for row in outcome.trials}
    assert rows[outcome.best.trial].status == "ok"
    assert sum(row.status == "aborted" and "expected" in row.reason for row in outcome.trials) == len(aborted)
