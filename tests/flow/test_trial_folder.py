"""What is left of a trial that ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tiny_recipe import tiny

from condensa_core.flow.comparable import fingerprint
from condensa_core.flow.trial import Evaluator, trial_folder
from condensa_core.learning import Checkpoint
from condensa_core.learning.checkpoint import Progress
from condensa_core.recipe import recipe_from
from condensa_core.search import TRAINING_COST, Trial, point_key


def test_an_ended_trial_leaves_what_ships_and_makes_no_folder(tmp_path: Path) -> None:
    bench: Any = SimpleNamespace(metrics={"top1": None}, recipe=recipe_from(tiny()))
    unused: Any = None
    evaluator = Evaluator(bench, unused, unused, None, tmp_path, unused)
    folder = trial_folder(tmp_path, 3)
    folder.mkdir(parents=True)
    for name in ("lc-0.safetensors", "crash-0.txt", "begun-0.txt", "weights.safetensors"):
        (folder / name).touch()

    evaluator.ended(3)
    evaluator.ended(4)  # failed before it wrote anything

    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["003"]


def test_what_a_dead_process_spent_on_l_steps_is_known_from_its_last_state(tmp_path: Path) -> None:
    bench: Any = SimpleNamespace(
        metrics={"top1": None},
        recipe=recipe_from(tiny()),
        reference=SimpleNamespace(source="weights", sha256="0"),
        splits=SimpleNamespace(fingerprint="0"),
        graph=SimpleNamespace(macs=1000),
    )
    unused: Any = None
    evaluator = Evaluator(bench, unused, unused, None, tmp_path, unused)
    spent = {"trained": 64, "inferred": 32, "processor_s": 1.5}
    state = Progress(2, 0.1, {}, {}, (), 0, {}, {}, {}, spent)
    trial = Trial(3, {"s": 0.5}, attempt=1)
    path = trial_folder(tmp_path, 3) / "lc-1.safetensors"
    Checkpoint(path, f"{fingerprint(bench)} {point_key(trial.point)} 1").save(state)

    cost = evaluator.lost(trial)[TRAINING_COST]

    assert (cost["training_macs"], cost["forward_macs"]) == (64_000, 32_000)
    assert 1.5 <= cost["processor_s"] < 2.5
    assert evaluator.lost(Trial(3, {"s": 0.5})) == {}  # the first attempt did not come so far
    Checkpoint(path, f"{fingerprint(bench)} {point_key({'s': 0.25})} 1").save(state)
    assert evaluator.lost(trial) == {}  # another trial's
