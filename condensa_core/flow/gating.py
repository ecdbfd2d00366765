"""The bounds of a recipe on what ships: measured, counted, and of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from condensa_core.bench import RESOLUTION, BenchTarget, Comparison
from condensa_core.bench.steadiness import other_ways
from condensa_core.errors import CondensaError, Interrupted
from condensa_core.flow.noise import CLEAR_SD, distance_stderr
from condensa_core.flow.objective import REFERENCE, Gain, Objective, timing_record
from condensa_core.flow.shipping_engine import EngineYard
from condensa_core.flow.targets import gate_objective, skipped_targets
from condensa_core.flow.timing import takes_programs, time_in_turns, timed_file, write_program
from condensa_core.flow.trial import Judged
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Listener, Note
from condensa_core.recipe import ENGINE_FIGURES, GateSpec
from condensa_core.report import EngineResult, GateResult, RatioInterval
from condensa_core.workload import Evaluation

BEST = "best"
FLOAT = "float"  # the best model in floating point, where what ships is in integers
# Of measuring what ships against the reference.
SECONDS = 10.0
ROUNDS = 100


class Timer:
    """Measurements of the reference's and the best file, one comparison per target.

    `files` are the ONNX files by name; a program of the best lies, or is written, beside `trial`.
    """

    def __init__(
        self,
        bench: Workbench,
        objective: Objective,
        files: Mapping[str, Path],
        trial: Path,
        packed: Path,
        shipped: nn.Module,
        listener: Listener,
    ) -> None:
        self._bench, self._objective, self._files = bench, objective, files
        self._trial, self._shipped, self._listener = trial, shipped, listener
        self._sizes = {"size.onnx": files[BEST].stat().st_size}
        if packed.is_file():
            self._sizes["size.packed"] = packed.stat().st_size
        self._known: dict[BenchTarget, Comparison] = {}

    def comparison(self, target: BenchTarget) -> Comparison:
        """What the target takes of the models, in turns; errors as of `time_in_turns`."""
        if target not in self._known:
            files = self._files
            if takes_programs(target):
                files = {REFERENCE: files[REFERENCE], BEST: self._trial}
                if not timed_file(self._trial, target).is_file():
                    write_program(self._shipped, self._bench.example, self._trial)
            seed = self._objective.seed.child("final")
            self._known[target] = time_in_turns(
                files, target, seconds=SECONDS, rounds=ROUNDS, seed=seed, listener=self._listener
            )
            for text in other_ways(self._known[target]):
                self._listener(Note(text, level="warning"))
        return self._known[target]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the best model's files, by the objective that asks for them."""
        return self._sizes

    def objective(self, shipped: nn.Module, reference: Judged) -> tuple[Gain, float, dict[str, dict[str, Any]]]:
        """Gain of the best, value of the reference, and the timings behind them (empty for what is counted)."""
        o, example = self._objective, self._bench.example
        if not o.measured:
            base = o.count(reference.model, example, reference.sizes)
            return o.exact(o.count(shipped, example, self.sizes), base), base, {}
        c = self.comparison(o.target)
        return o.read(c, BEST), o.read(c, REFERENCE).value, {n: timing_record(c, n) for n in (REFERENCE, BEST)}

    def speed_of_integers(self) -> RatioInterval | None:
        """How many times faster the best file is than the same model in floating point; None for what is counted."""
        if not self._objective.measured:
            return None
        ratio = self.comparison(self._objective.target).ratio(BEST, FLOAT)
        return RatioInterval(ratio.value, ratio.low, ratio.high)


def judged_gates(
    bench: Workbench,
    judged: tuple[dict[str, Evaluation], dict[str, Evaluation]],
    timer: Timer,
    shipped: nn.Module,
    reference: Judged,
    yard: EngineYard | None,
    engine: EngineResult | None,
) -> tuple[GateResult, ...]:
    """Every bound, judged on the files that ship; a bound on speed must be held by the whole 95 % interval, and the 2 %
    by which two sessions of one file may differ, as those of `bench`.

    One on a target that may be missing, and is, is skipped; one that cannot be measured although the target is there
    is not met.
    """
    skipped, results = skipped_targets(bench.recipe), []
    for gate in bench.recipe.gates:
        if gate.metric in bench.metrics:
            results.append(_of_quality(gate, judged))
        elif gate.metric in ENGINE_FIGURES:
            assert yard is not None and engine is not None, "the recipe was checked"
            results.append(yard.judge(gate, engine, reference.file.path))
        else:
            results.append(_of_cost(bench, gate, timer, shipped, reference, skipped))
    return tuple(results)


def _of_quality(gate: GateSpec, judged: tuple[dict[str, Evaluation], dict[str, Evaluation]]) -> GateResult:
    split = gate.split or ("test" if "test" in judged[0] else "val")
    text, unit = f"{gate} ({split})", "fraction" if gate.metric in ("top1", "top5") else ""
    if split not in judged[0]:
        return GateResult(text, met=False, unit=unit, reason=f"the data has no {split!r} part to judge it on")
    was, now = (j[split] for j in judged)
    base, value = was.scores[gate.metric].value, now.scores[gate.metric].value
    limit, sure = gate.limit(base), CLEAR_SD * distance_stderr(gate, was, now)
    return GateResult(
        text, value, limit, gate.met(value, base), unit,
        low=value - sure, high=value + sure, within_noise=abs(value - limit) < sure,
    )  # fmt: skip


def _of_cost(
    bench: Workbench,
    gate: GateSpec,
    timer: Timer,
    shipped: nn.Module,
    reference: Judged,
    skipped: Mapping[str, str],
) -> GateResult:
    text = f"{gate} ({gate.on})" if gate.on else str(gate)
    objective = gate_objective(bench.recipe, gate)
    if not objective.measured:
        base = objective.count(reference.model, bench.example, reference.sizes)
        value = objective.count(shipped, bench.example, timer.sizes)
        return GateResult(text, value, gate.limit(base), gate.met(value, base), objective.unit)
    if objective.target_name in skipped:
        reason = f"target '{objective.target_name}' is missing: {skipped[objective.target_name]}"
        return GateResult(text, unit=objective.unit, reason=reason)
    try:
        comparison = timer.comparison(objective.target)
    except Interrupted:
        raise
    except CondensaError as err:  # everything was trained: the other bounds are still worth knowing
        return GateResult(text, met=False, unit=objective.unit, reason=str(err))
    ratio, base = objective.read(comparison, BEST).ratio, objective.read(comparison, REFERENCE).value
    if not ratio.certain:
        reason = "the models were too slow for the 6 rounds that a 95 % interval takes"
        return GateResult(text, met=False, unit=objective.unit, reason=reason)
    # values of the candidate over the reference's, from the smallest to the largest that the interval allows
    low, middle, high = (ratio.low, ratio.value, ratio.high)
    if objective.direction == "minimize":
        low, middle, high = 1 / high, 1 / middle, 1 / low
    worst = low / (1 + RESOLUTION) if gate.bound in ("at_least", "max_drop") else high * (1 + RESOLUTION)
    met, limit = gate.met(worst * base, base), gate.limit(base)
    near = low / (1 + RESOLUTION) <= limit / base <= high * (1 + RESOLUTION)
    if gate.amount.unit == "factor":
        return GateResult(text, middle, gate.amount.value, met, "x", low=low, high=high, within_noise=near)
    return GateResult(
        text, middle * base, limit, met, objective.unit, low=low * base, high=high * base, within_noise=near
    )
