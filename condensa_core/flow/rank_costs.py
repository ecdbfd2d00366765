"""What each rank of a layer costs: the layer alone, dense and as two, timed in turns on the target of the objective."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from condensa_core.bench import describe_machine
from condensa_core.errors import ExportFailed, PlanError, Problem, ResumeError
from condensa_core.flow.objective import Objective
from condensa_core.flow.rank_layers import timed_weights, unsplit
from condensa_core.flow.rank_timing import Call, LayerStand, calls_of
from condensa_core.flow.workbench import Workbench
from condensa_core.plain_file import read_plain_text
from condensa_core.progress import Advanced, Event, Listener, Note, PhaseEnded, PhaseStarted
from condensa_core.run_directory import RunDirectory
from condensa_core.schemes import LowRank
from condensa_core.schemes.matrix_view import Convolution

FILE: Final = "rank-costs.json"
SCHEMA: Final = "condensa.rank-costs/1"
PHASE: Final = "ranks"

Costs = dict[str, tuple[float, ...]]


def rank_costs(bench: Workbench, directory: RunDirectory, listener: Listener) -> Costs:
    """Seconds of each rank 0, 1, ... and of the dense layer, last, by weight whose rank is chosen by latency.

    Measured once a run: what the run directory holds is read again, so that every process of a run, and every trial,
    chooses among the same costs. Ranks between those that were timed are interpolated; noise makes no larger rank
    cheaper than a smaller one (isotonic regression). Rank 0 ships as a layer of zeros, at the cost of the dense one.
    Weights that cannot become two layers cost nothing whatever their rank, and so stay dense.
    PlanError where a budget lies below the least that can be reached; ResumeError where the file is damaged.
    """
    weights = timed_weights(bench.plan)
    if not weights:
        return {}
    path = directory.path / FILE
    if path.is_file():
        record = _read(path)
        if record["fingerprint"] != describe_machine().fingerprint:
            listener(Note(f"the ranks of {FILE} were timed on another machine and are kept", level="warning"))
    else:
        record = _measured(bench, weights, listener)
        directory.write_json(FILE, record)
    costs = _costs(record, path)
    if missing := weights.keys() - costs.keys():
        raise ResumeError(f"{path} has no costs of {sorted(missing)[0]}", hint="delete it to time all ranks anew")
    _check_budgets(bench, costs)
    return costs


def between(timed: Mapping[int, float], last: int) -> tuple[float, ...]:
    """Costs of ranks 1 to `last` from those of a few of them: the nearest that do not fall, joined by straight lines.

    Source of the isotonic regression: Barlow, Bartholomew, Bremner and Brunk, 1972 (pool adjacent violators).
    """
    pools: list[tuple[float, int]] = []  # mean, and how many it is of
    for rank in sorted(timed):
        pools.append((timed[rank], 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (first, m), (second, n) = pools[-2:]
            pools[-2:] = [((m * first + n * second) / (m + n), m + n)]
    level = [mean for mean, count in pools for _ in range(count)]
    joined: list[float] = np.interp(np.arange(1, last + 1), sorted(timed), level).tolist()
    return tuple(joined)


def _measured(bench: Workbench, weights: Mapping[str, Convolution], listener: Listener) -> dict[str, Any]:
    """The record that is written: every kind of call timed once."""
    objective = Objective.of(bench.recipe)
    reasons = unsplit(bench.model, bench.graph, bench.routes, bench.example, weights)
    layers = {n: bench.model.get_submodule(n.rpartition(".")[0]) for n in weights if n not in reasons}
    forms = {name: (layer, weights[name]) for name, layer in layers.items()}
    calls = calls_of(bench.model, bench.example, forms, objective.target.batch)
    reasons |= {name: "the model does not call its layer" for name, some in calls.items() if not some}
    kinds = list(dict.fromkeys(call for some in calls.values() for call in some))
    examples = {call: layers[name] for name, some in calls.items() for call in some}
    detail = f"{len(kinds)} kind{'' if len(kinds) == 1 else 's'} of layers on {objective.timed_on}"
    listener(PhaseStarted(PHASE, total=len(kinds), detail=detail))
    timings = []
    for done, call in enumerate(kinds, 1):
        stand = LayerStand(examples[call], call, objective.target, objective.seed.child("ranks", str(done)))
        try:
            timings.append(stand.timed(_rounds_of(listener, done, call)))
        except ExportFailed as error:
            reasons |= {name: f"it cannot be timed alone: {error.message}" for name in calls if call in calls[name]}
            timings.append({})
        listener(Advanced(PHASE, done, {"layer": call.layer}))
    for name, reason in reasons.items():
        listener(Note(f"ranks: {name} stays dense: {reason}", level="warning"))
    listener(PhaseEnded(PHASE, f"{sum(len(one.get('ranks', ())) for one in timings)} ranks timed against dense layers"))
    return {
        "schema": SCHEMA,
        "target": asdict(objective.target),
        "cpu_time": objective.target.cpu_timed,
        "machine": describe_machine().to_json(),
        "fingerprint": describe_machine().fingerprint,
        "timings": [{**asdict(call), **one} for call, one in zip(kinds, timings, strict=True)],
        "weights": {
            name: [{"timing": kinds.index(call), "count": count} for call, count in some.items()]
            for name, some in calls.items()
            if name not in reasons
        },
        "dense": reasons,
    }


def _rounds_of(listener: Listener, done: int, call: Call) -> Listener:
    def hear(event: Event) -> None:
        if isinstance(event, Advanced):
            listener(Advanced(PHASE, done - 1, {"layer": call.layer, "round": event.done}))

    return hear


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(read_plain_text(path))
        if record["schema"] != SCHEMA or not isinstance(record["fingerprint"], str):
            raise ValueError(record["schema"])
        return record
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ResumeError(f"{path} cannot be read", hint="delete it to time all ranks anew") from err


def _costs(record: Mapping[str, Any], path: Path) -> Costs:
    """Costs by weight from the medians of a record: of all its calls together."""
    try:
        per_call = []
        for timing in record["timings"]:
            if "ranks" not in timing:
                per_call.append(())
                continue
            timed = {int(rank): max(0.0, one["value"]) for rank, one in timing["ranks"].items()}
            dense = max(0.0, timing["dense_s"]["value"])
            per_call.append((dense, *between(timed, timing["last_rank"]), dense))
        costs: Costs = dict.fromkeys(record["dense"], (0.0, 0.0))
        for name, calls in record["weights"].items():
            several = [[call["count"] * cost for cost in per_call[call["timing"]]] for call in calls]
            costs[name] = tuple(map(math.fsum, zip(*several, strict=True)))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as err:
        raise ResumeError(f"{path} cannot be read", hint="delete it to time all ranks anew") from err
    return costs


def _check_budgets(bench: Workbench, costs: Costs) -> None:
    """PlanError where the smallest budget of a rule is below what its ranks can cost at least."""
    knobs = bench.plan.space.strongest_point()
    problems = []
    for assignment in bench.plan.assignments:
        task = assignment.at(knobs)
        scheme = None if task is None else task.scheme
        for one in getattr(scheme, "schemes", (scheme,)):
            if not isinstance(one, LowRank) or one.select != "latency" or one.budget is None:
                continue
            dense = math.fsum(costs[name][-1] for name in assignment.names)
            least = math.fsum(min(costs[name]) for name in assignment.names)
            if least > one.budget * dense:
                reached = math.ceil(100 * least / dense) / 100
                message = f"a budget of {one.budget:g} cannot be met: even the cheapest ranks take {least / dense:.3g}"
                advice = f"that is of the seconds of the dense layers, as measured here; write {reached:g} or more"
                problems.append(Problem("E222", message, assignment.place, (advice,)))
    if problems:
        raise PlanError(problems)
