"""How fast the model gets when a single group of channels is cut: measured, a few cuts of each group."""

from __future__ import annotations

import difflib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.bench import BenchTarget, Comparison, Ratio
from condensa_core.errors import ExportFailed, NotEquivalent, UsageError
from condensa_core.export import OnnxFile, export_onnx
from condensa_core.flow.objective import REFERENCE, Objective, bench_target
from condensa_core.flow.timing import takes_programs, time_in_turns, write_program
from condensa_core.flow.workbench import Modelled
from condensa_core.graph import Family, analyse
from condensa_core.graph.costs import Costs, costs_of
from condensa_core.materialise import deliver, deliverable, fold_batchnorm
from condensa_core.progress import Advanced, Event, Listener, Note, PhaseEnded, PhaseStarted, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import Recipe
from condensa_core.report.quantities import duration_text

PHASE: Final = "latency"
SHARES: Final = (0.75, 0.5, 0.25)  # of a group's units that are kept; a last cut keeps one unit
TIMED_S: Final = 1.0
FEWEST_RUNS: Final = 13  # a file is run at least this often: 4 times before it is timed, 3 in each of 3 rounds
ROUNDS: Final = 60


@dataclass(frozen=True)
class Cut:
    """The model with `kept` units of one group and all of the others. `ratio` is None where it was not measured."""

    kept: int
    macs_ratio: float  # MACs of the whole model over those of the cut one
    ratio: Ratio | None  # how many times faster it is than the whole model
    problem: str = ""  # why it was not measured

    def to_json(self) -> dict[str, Any]:
        """JSON values; without `ratio` and `verdict` where it was not measured."""
        record: dict[str, Any] = {"kept": self.kept, "macs_ratio": self.macs_ratio}
        if self.ratio is None:
            return {**record, "problem": self.problem}
        return {**record, "ratio": asdict(self.ratio), "verdict": self.ratio.verdict}


@dataclass(frozen=True, eq=False)
class Group:
    """The cuts of one family, from mild to strong, with the comparison they were timed in."""

    name: str
    size: int
    unit: str
    cuts: tuple[Cut, ...]
    comparison: Comparison | None  # None where no cut could be made

    def to_json(self) -> dict[str, Any]:
        """JSON values; `noisy` says that other work on the machine disturbed the measurement."""
        found = self.comparison
        return {
            "name": self.name,
            "size": self.size,
            "unit": self.unit,
            "whole_s": found.measurement(REFERENCE).latency_s.p50 if found else None,
            "noisy": found.noisy if found else None,
            "cuts": [cut.to_json() for cut in self.cuts],
        }


@dataclass(frozen=True, eq=False)
class Latencies:
    """All groups of a model, timed against the whole model in turns."""

    target: BenchTarget
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values, with target and machine; `cpu_time` as in `bench.Measurement`."""
        found = next((group.comparison for group in self.groups if group.comparison), None)
        return {
            "target": asdict(self.target),
            "cpu_time": self.target.cpu_timed,
            "machine": found.machine.to_json() if found else None,
            "groups": [group.to_json() for group in self.groups],
        }


def target_named(recipe: Recipe, name: str) -> BenchTarget:
    """The recipe's target of that name, the one of its objective for an empty name; UsageError if there is none."""
    if not name:
        return Objective.of(recipe).target
    if name not in recipe.targets:
        near = difflib.get_close_matches(name, recipe.targets, n=1)
        known = ", ".join(recipe.targets) or "none, write one under `targets:`"
        hint = f"did you mean {near[0]!r}?" if near else f"targets of this recipe: {known}"
        raise UsageError(f"the recipe has no target called {name!r}", hint=hint)
    return bench_target(recipe.targets[name])


def kept_counts(size: int) -> tuple[int, ...]:
    """Three quarters, half and a quarter of the units, and one: those below `size` that differ, from many to few."""
    counts = {max(1, round(size * share)) for share in SHARES} | {1}
    return tuple(sorted((count for count in counts if count < size), reverse=True))


def latencies(
    found: Modelled,
    target: BenchTarget,
    *,
    seconds: float = TIMED_S,
    seed: Seed,
    listener: Listener = silent,
) -> Latencies:
    """Every group cut to `kept_counts` of its units, all else whole, as ONNX files timed against the whole model.

    The cuts of a group and the whole model take turns on `target`, so that what disturbs one disturbs all. BatchNorm is
    folded before anything is cut, and every cut is proven equal to the masked model. Timing a file takes about
    `seconds`, or FEWEST_RUNS inferences if they last longer; a Note says before the phase starts about what that makes
    in all. A cut that cannot be made or exported has the reason instead of a ratio. No file is left behind, also where
    the listener raises Interrupted. MissingRuntime where the target's runtime is not installed, ExportFailed where the
    whole model cannot be exported.
    """
    listener(Note("latency: folding, exporting and timing the whole model, and one cut, to see how long all will take"))
    shipped = _distinct(fold_batchnorm(found.model, found.example), seed)
    graph, routes = deliverable(shipped, analyse(shipped, found.example), found.example)
    total = sum(len(kept_counts(family.size)) for family in graph.families)
    if not total:
        return Latencies(target, ())
    with tempfile.TemporaryDirectory(prefix="condensa-latency-") as folder:
        whole = _timed_form(shipped, found.example, Path(folder) / "whole.onnx", target)
        alone = time_in_turns({REFERENCE: whole.path}, target, seconds=seconds, rounds=3, seed=seed)
        each_s = max(seconds, FEWEST_RUNS * alone.measurement(REFERENCE).latency_wall_s.p50)
        stand = _Stand(Modelled(shipped, found.example, graph, routes), costs_of(graph), whole, target, each_s, seed)
        listener(Note(stand.announcement(graph.families)))
        listener(PhaseStarted(PHASE, total=total, detail=_counted(total, len(graph.families))))
        groups: list[Group] = []
        for family in graph.families:
            groups.append(stand.time(family, _Told(listener, family.name, sum(len(group.cuts) for group in groups))))
    listener(PhaseEnded(PHASE, f"{_counted(total, len(groups))} timed against the whole model"))
    return Latencies(target, tuple(groups))


def _timed_form(
    model: nn.Module, example: tuple[Tensor, ...], path: Path, target: BenchTarget, like: OnnxFile | None = None
) -> OnnxFile:
    """The ONNX file at `path`, with the program beside it where the target takes that."""
    if takes_programs(target):
        write_program(model, example, path)
    return export_onnx(model, example, path, like=like)


def _distinct(model: nn.Module, seed: Seed) -> nn.Module:
    """`model`, in place, with floating-point tensors of which no two are alike; speed does not depend on them.

    An exporter merges equal tensors, as the biases of an untrained model are: its file fits no other channel counts.
    """
    generator = seed.torch_generator("distinct")
    with torch.no_grad():
        for tensor in chain(model.parameters(), model.buffers()):
            if tensor.is_floating_point():
                tensor += 0.01 * torch.rand(tensor.shape, generator=generator).to(tensor)
    return model


def _counted(cuts: int, groups: int) -> str:
    return f"{cuts} cut{'' if cuts == 1 else 's'} of {groups} group{'' if groups == 1 else 's'}"


@dataclass(frozen=True)
class _Told:
    """Progress within one group: `done` cuts of the groups before are finished. A listener may stop it at each call."""

    listener: Listener
    group: str
    done: int

    def cut(self, number: int, kept: int) -> None:
        self.listener(Advanced(PHASE, self.done + number, {"group": self.group, "kept": kept}))

    def rounds(self, cuts: int) -> Listener:
        """What hears of the rounds in which `cuts` cuts are timed."""

        def hear(event: Event) -> None:
            if isinstance(event, Advanced):
                self.listener(Advanced(PHASE, self.done + cuts, {"group": self.group, "round": event.done}))

        return hear


@dataclass(frozen=True, eq=False)
class _Stand:
    """Everything that the cuts of all groups are measured with."""

    found: Modelled
    costs: Costs
    whole: OnnxFile
    target: BenchTarget
    each_s: float
    seed: Seed

    def announcement(self, families: Sequence[Family]) -> str:
        """About how long it will take to time these families, by one cut made on trial."""
        first = families[0]
        started = time.monotonic()
        self._export(first, kept_counts(first.size)[0], self.whole.path.with_name("trial.onnx"))
        make_s, cuts = time.monotonic() - started, sum(len(kept_counts(family.size)) for family in families)
        in_all = cuts * make_s + (cuts + len(families)) * self.each_s  # the whole model takes its turns in every group
        each = f"{duration_text(make_s)} to cut and export and {duration_text(self.each_s)} to time"
        return f"latency: {_counted(cuts, len(families))}, each about {each}; in all about {duration_text(in_all)}"

    def time(self, family: Family, told: _Told) -> Group:
        """The cuts of this family and the whole model, in turns."""
        with tempfile.TemporaryDirectory(dir=self.whole.path.parent) as folder:
            made: dict[int, Path | str] = {}
            for kept in kept_counts(family.size):
                made[kept] = self._export(family, kept, Path(folder) / f"{kept}.onnx")
                told.cut(len(made), kept)
            files = {str(kept): path for kept, path in made.items() if isinstance(path, Path)}
            comparison = None
            if files:
                comparison = time_in_turns(
                    {REFERENCE: self.whole.path} | files,
                    self.target,
                    seconds=self.each_s * (1 + len(files)),
                    rounds=ROUNDS,
                    seed=self.seed,
                    judged=(),  # each was proven equal to the masked model, and the whole one's session was judged
                    listener=told.rounds(len(made)),
                )
        cuts = []
        for kept, path in made.items():
            macs_ratio = float(self.costs.macs({}) / self.costs.macs({family.name: kept}))
            if comparison is not None and isinstance(path, Path):
                cuts.append(Cut(kept, macs_ratio, comparison.ratio(str(kept), REFERENCE)))
            else:
                cuts.append(Cut(kept, macs_ratio, None, str(path)))
        return Group(family.name, family.size, family.unit, tuple(cuts), comparison)

    def _export(self, family: Family, kept: int, path: Path) -> Path | str:
        """The file of the model with the first `kept` units of this family, or the reason why there is none."""
        found, keep = self.found, {family.name: np.arange(family.size) < kept}
        try:
            small = deliver(found.model, found.graph, keep, found.example, found.routes).model
            return _timed_form(small, found.example, path, self.target, like=self.whole).path
        except (NotEquivalent, ExportFailed) as error:
            return error.message
