"""What trainings cost: sample passes weighted with the MACs of the model that was trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from condensa_core.flow.workbench import Workbench
from condensa_core.learning import Meter
from condensa_core.report import TrainingCost
from condensa_core.search import TRAINING_COST, Entry
from condensa_core.workload import training_plan


class Ledger:
    """The cost of one attempt at a trial, a meter for each phase; a new phase ends the one before it."""

    def __init__(self, reference_macs: int | None) -> None:
        self._reference_macs = reference_macs
        self._phases: dict[str, Meter] = {}

    def phase(self, name: str, macs: int) -> Meter:
        """The meter of a phase that trains a model of `macs` MACs a sample."""
        self.stop()
        meter = self._phases[name] = Meter(macs)
        return meter

    def stop(self) -> None:
        """End the phase that is under way."""
        for meter in self._phases.values():
            meter.stop()

    def record(self) -> dict[str, Any]:
        """JSON values for the journal, `references` in multiples of training the reference once."""
        meters = self._phases.values()
        trained = sum(m.trained * m.macs for m in meters)
        return {
            "training_macs": trained,
            "forward_macs": sum(m.inferred * m.macs for m in meters),
            "processor_s": sum(m.processor_s for m in meters),
            "references": trained / self._reference_macs if self._reference_macs else None,
            "phases": {
                name: {"macs": m.macs, "trained": m.trained, "inferred": m.inferred} for name, m in self._phases.items()
            },
        }


def reference_training_macs(bench: Workbench) -> int | None:
    """What training the reference takes by its plan, whether it was trained now or before; None for given weights."""
    if bench.reference.source == "weights":
        return None
    plan = training_plan(bench.recipe.reference.train, bench.splits, bench.model)
    train = bench.splits.train.rebatched(plan.batch)
    passes = plan.epochs * min(train.count, train.steps * train.batch)  # a last batch that is not full is dropped
    return passes * bench.graph.macs or None


def costs_by_trial(entries: Iterable[Entry]) -> dict[int, TrainingCost]:
    """What a journal says that trials cost, by number: every entry that tells of a cost, failed attempts included."""
    costs: dict[int, TrainingCost] = {}
    for entry in entries:
        record = _cost_of(entry.payload)
        if record is not None and "number" in entry.payload:
            number = int(entry.payload["number"])
            costs[number] = _cost(record) + costs.get(number, TrainingCost())
    return costs


def _cost_of(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    told = payload.get("observation", payload).get("details", {})
    found: Mapping[str, Any] | None = told.get(TRAINING_COST)
    return found


def _cost(record: Mapping[str, Any]) -> TrainingCost:
    return TrainingCost(record["training_macs"], record["forward_macs"], record["processor_s"], record["references"])
