"""What a recipe asks of its data, against the data that was read: before anything is trained on it."""

from __future__ import annotations

from condensa_core.errors import PlanError, Problem, WorkloadError
from condensa_core.recipe import Recipe
from condensa_core.workload import Splits


def require_asked_of_data(recipe: Recipe, splits: Splits) -> None:
    """PlanError (E102) for a gate on samples that are not there; WorkloadError for a batch that cannot be had."""
    missing = [number for number, gate in enumerate(recipe.gates) if gate.split == "test" and splits.test is None]
    if missing:
        message, advice = "this gate reads the split 'test', and the data has none", "write split: val"
        paths = [("gates", number, "split") for number in missing]
        raise PlanError([Problem("E102", message, recipe.place_of(path), (advice,), path) for path in paths])
    step = recipe.compress.l_step
    asked = {("compress", "l_step", "batch"): step.batch if step else None}
    if recipe.model.weights is None:
        asked[("reference", "train", "batch")] = recipe.reference.train.batch
    for path, batch in asked.items():
        try:
            if batch is not None:
                splits.train.rebatched(batch)
        except WorkloadError as err:
            err.place = recipe.place(*path)
            raise
