"""The cost of training is what the recipe's arithmetic says, attempts that failed and interruptions included."""

import math

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted
from condensa_core.flow.training_cost import costs_by_trial
from condensa_core.progress import Advanced
from condensa_core.recipe import recipe_from
from condensa_core.search import Entry, read_journal

BATCH = 32
TRIALS = {"trials": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(folder, cache, listener=lambda event: None, **changes):
    outcome = flow.run(recipe_from(tiny(search=TRIALS, **changes)), out=folder, cache_dir=cache, listener=listener)
    return outcome, entries_of(folder)


def entries_of(folder):
    (directory,) = (folder / "tiny").iterdir()
    return read_journal(directory / "trials.jsonl")[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    return run(tmp_path_factory.mktemp("runs"), cache)


def essence(costs):
    """What does not depend on the clock."""
    return {number: (c.training_macs, c.forward_macs, c.references) for number, c in costs.items()}


def test_a_trial_costs_its_l_steps_on_the_full_model_and_fine_tuning_on_the_small_one(finished):
    outcome, entries = finished
    full, val = outcome.reference.macs, outcome.best.metrics["val"]["top1"].count
    epoch = outcome.reference.training_macs // full // 4  # samples in full batches
    norms = 20 * BATCH  # samples that BatchNorm statistics are estimated on

    for entry in entries:
        if entry.kind != "trial-ended":
            continue
        details = entry.payload["observation"]["details"]
        small, steps = details["macs"], details["lc"]["steps"]
        cost = outcome.trials[entry.payload["number"]].training_cost
        expected = 20 * (steps + 1) * BATCH * full + epoch * small  # the first L step is twice as long
        assert cost.training_macs == expected
        assert cost.references == expected / outcome.reference.training_macs
        assert cost.forward_macs == ((steps + 1) * (norms + val) + val) * full + (val + norms + val) * small
        assert 0 < cost.processor_s < math.inf


def test_training_the_reference_costs_its_epochs_and_trials_add_up(finished):
    outcome, _ = finished
    samples = 4 * (outcome.reference.training_macs // outcome.reference.macs // 4)

    assert outcome.reference.training_macs == samples * outcome.reference.macs
    assert samples % (4 * BATCH) == 0 and 1000 < samples / 4 < 1797  # most of the digits, in full batches
    assert outcome.training_cost.training_macs == sum(row.training_cost.training_macs for row in outcome.trials)
    together = sum(row.training_cost.references for row in outcome.trials)
    assert outcome.training_cost.references == pytest.approx(together)


def test_an_interrupted_run_counts_every_pass_once(finished, tmp_path, cache):
    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn" and event.done == 2:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        run(tmp_path, cache, listener=stop)
    (directory,) = (tmp_path / "tiny").iterdir()
    flow.resume(directory, cache_dir=cache)

    assert essence(costs_by_trial(entries_of(tmp_path))) == essence(costs_by_trial(finished[1]))


def test_attempts_that_diverged_are_paid_for(tmp_path, cache):
    hopeless = {**tiny()["compress"], "l_step": {"iterations": 20, "lr": 1e9}}

    outcome, entries = run(tmp_path, cache, compress=hopeless)

    assert outcome.status == "failed"
    first = [e for e in entries if e.kind in ("attempt-failed", "trial-ended") and e.payload["number"] == 0]
    spent = [costs_by_trial([e])[0].training_macs for e in first]
    assert len(spent) == 2 and all(0 < s <= BATCH * 40 * outcome.reference.macs for s in spent)
    assert outcome.trials[0].training_cost.training_macs == sum(spent)


def test_a_direct_trial_trains_nothing(tmp_path, cache):
    outcome, _ = run(tmp_path, cache, compress={"method": "direct"})

    assert outcome.training_cost.training_macs == 0 and outcome.training_cost.references == 0


def test_entries_that_tell_of_no_cost_are_passed_over():
    assert costs_by_trial([Entry("trial-started", {"number": 0}), Entry("profile", {"records": []})]) == {}
