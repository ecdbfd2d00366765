"""What a run would train, in seconds: counted from the recipe, with the pace that was measured."""

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.flow import durations
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from
from condensa_core.workload import load_splits


@pytest.fixture
def pace(monkeypatch):
    """A training step takes 10 s, a batch of validation 1 s, averaging the norms 0.5 s."""
    told = iter((10.0 * durations.STEPS, 1.0 * durations.FORWARDS, 0.5))

    def seconds(work):
        work()
        return next(told)

    monkeypatch.setattr(durations, "_seconds", seconds)


@pytest.fixture
def splits(tmp_path):
    return load_splits(recipe_from(tiny()).data, seed=Seed(3), directory=tmp_path)


def test_every_step_of_a_run_is_counted(pace, splits, tmp_path):
    found = flow.plan(recipe_from(tiny()), timed=True, cache_dir=tmp_path / "cache").durations

    epoch, validation = splits.train.steps, splits.val.steps
    # 4 epochs; L steps of 20 iterations, the first twice as long, and an epoch of fine-tuning; judged before and after
    # each of the 3 steps and after that epoch
    reference = 4 * (10 * epoch + validation)
    trial = 10 * (40 + 20 + 20 + epoch) + (1 + 3 + 1) * (validation + 0.5)
    assert found == pytest.approx({"reference": reference, "each_trial": trial, "at_most": reference + 4 * trial})


def test_direct_compression_is_judged_and_not_trained(pace, splits, tmp_path):
    recipe = recipe_from(tiny(compress={"method": "direct"}))

    found = flow.plan(recipe, timed=True, cache_dir=tmp_path / "cache").durations

    assert found["each_trial"] == pytest.approx(splits.val.steps + 0.5)


def test_a_reference_that_is_there_costs_nothing_and_the_pace_is_real(tmp_path):
    recipe = recipe_from(tiny(search={"trials": 1}))
    flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")
    kept = {file: file.read_bytes() for file in (tmp_path / "cache").iterdir()}

    found = flow.plan(recipe, timed=True, cache_dir=tmp_path / "cache").durations

    assert found["reference"] == 0.0
    assert 0.0 < found["each_trial"] == found["at_most"]
    assert {file: file.read_bytes() for file in (tmp_path / "cache").iterdir()} == kept


def test_a_plan_measures_nothing_unless_it_is_asked():
    plan = flow.plan(recipe_from(tiny()))

    assert plan.durations == {} == plan.to_json()["training_s"]
