"""What is left of a trial that ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from condensa_core.flow.trial import Evaluator, trial_folder


def test_an_ended_trial_leaves_what_ships_and_makes_no_folder(tmp_path: Path) -> None:
    bench: Any = SimpleNamespace(
        metrics={"top1": None}, recipe=SimpleNamespace(constraint=SimpleNamespace(metric="top1"))
    )
    unused: Any = None
    evaluator = Evaluator(bench, unused, unused, None, tmp_path, unused)
    folder = trial_folder(tmp_path, 3)
    folder.mkdir(parents=True)
    for name in ("lc-0.safetensors", "weights.safetensors"):
        (folder / name).touch()

    evaluator.ended(3)
    evaluator.ended(4)  # failed before it wrote anything

    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["003"]
