"""Targets against what is asked of them: what is timed on each, what may be missing, which engine ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condensa_core.errors import Place, Problem
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.possible_rules import possible_rules
from condensa_core.recipe.records import GateSpec, ObjectiveSpec, OutputSpec, RuleSpec, TargetSpec
from condensa_core.recipe.vocabulary import ENGINE_BACKENDS, ENGINE_FIGURES, OBJECTIVES, PROGRAM_BACKENDS


def objective_target(objective: ObjectiveSpec, targets: Mapping[str, TargetSpec]) -> str:
    """The target that the objective names, else the only one declared; empty for condensa's own."""
    return objective.on or (next(iter(targets)) if len(targets) == 1 else "")


def gate_target(gate: GateSpec, objective: ObjectiveSpec, targets: Mapping[str, TargetSpec]) -> str | None:
    """The target that a gate is timed on, by default that of the objective; None for a gate on what is not timed."""
    figure = OBJECTIVES.get(gate.metric)
    if figure is None or not figure.on_hardware:
        return None
    return gate.on or objective_target(objective, targets)


def engine_target(targets: Mapping[str, TargetSpec]) -> str | None:
    """The target whose engine ships: the only one of TensorRT, or of several the only one with `arch`; else None."""
    able = [name for name, target in targets.items() if target.backend in ENGINE_BACKENDS]
    named = [name for name in able if targets[name].arch is not None]
    return next((names[0] for names in (able, named) if len(names) == 1), None)


def times_ranks(rules: Iterable[RuleSpec]) -> bool:
    """Whether any rule chooses ranks by latency, which is measured on the target of the objective."""
    leaves = (leaf for rule in rules for scheme in rule.scheme for _, leaf in scheme.leaves())
    return any(leaf.settings.get("select") == "latency" for leaf in leaves)


def asks_objective_target(objective: ObjectiveSpec, rules: Iterable[RuleSpec]) -> bool:
    """Whether the target of the objective decides anything: what is timed, which rules apply, how integers are
    written. The objective's name is known."""
    rules = tuple(rules)
    whole = any(rule.when is not None or any(s.observer is not None for s in rule.scheme) for rule in rules)
    return OBJECTIVES[objective.name].on_hardware or whole or times_ranks(rules)


def integer_problems(
    rules: Iterable[RuleSpec],
    objective: ObjectiveSpec,
    targets: Mapping[str, TargetSpec],
    gates: Iterable[GateSpec],
    output: OutputSpec,
    place_of: Callable[..., Place],
) -> Iterator[Problem]:
    """E109 for a target that these rules would give integers it does not compute in; `place_of` as `Document.place`."""
    if not any(scheme.observer is not None for rule in rules for scheme in rule.scheme):
        return
    own = objective_target(objective, targets)
    used = {gate_target(gate, objective, targets) for gate in gates}
    used |= {own} if OBJECTIVES[objective.name].on_hardware else set()
    used |= {engine_target(targets)} if "engine" in output.export else set()
    written = targets[own].backend if own in targets else TargetSpec().backend
    for name, target in targets.items():
        path: KeyPath = ("targets", name, "backend")
        if name not in used:
            continue
        if target.backend in PROGRAM_BACKENDS:
            message = f"'{target.backend}' times the model in floating point, and 'activations' make integers of it"
            advice = "time it on onnxruntime, or leave 'activations' out"
        elif "tensorrt" in target.backend and "tensorrt" not in written:
            message = f"'{target.backend}' takes other integers than '{written}', which the file is written for"
            advice = f"write objective: {{..., on: {name}}}"
        else:
            continue
        yield Problem("E109", message, place_of(path), (advice,), path)


@dataclass(frozen=True)
class TargetChecks:
    """The checks about targets; `sections` holds those that are sound by themselves, `gates` come with positions."""

    document: Document
    sections: Mapping[str, Any]
    gates: Sequence[tuple[int, GateSpec]]

    def problems(self) -> Iterator[Problem]:
        """Nothing where the targets themselves or the objective are in question."""
        targets: Mapping[str, TargetSpec] | None = self.sections.get("targets")
        if targets is None and "targets" in self.document.data:
            return
        targets = targets or {}
        if "output" in self.sections or "output" not in self.document.data:
            yield from self._engine(self.sections.get("output", OutputSpec()), targets)
        objective, layers = self.sections.get("objective"), self.sections.get("layers", ())
        if objective is None or objective.name not in OBJECTIVES:
            return
        applying = possible_rules(layers, objective_target(objective, targets), targets).values()
        yield from self._skipped(objective, targets, applying)
        yield from self._unused(objective, targets, layers)
        # what `has` answers no machine has said yet: `applied_on` asks again
        sure = [rule for rule in applying if rule.when is None or rule.when.has is None]
        output, gates = self.sections.get("output", OutputSpec()), [gate for _, gate in self.gates]
        yield from integer_problems(sure, objective, targets, gates, output, self.document.place)

    def _skipped(
        self, objective: ObjectiveSpec, targets: Mapping[str, TargetSpec], applying: Iterable[RuleSpec]
    ) -> Iterator[Problem]:
        """E109 for a target that may be missing and that every trial needs."""
        name = objective_target(objective, targets)
        target = targets.get(name)
        if target is None or target.if_missing == "error":
            return
        path: KeyPath = ("targets", name, "if_missing")
        if OBJECTIVES[objective.name].on_hardware:
            message = f"without '{name}' nothing would measure the objective '{objective.name}'"
            yield self._problem("E109", path, message, "write if_missing: error, or count: minimize: macs")
        elif times_ranks(applying):
            message = f"without '{name}' nothing would time the ranks of 'select: latency'"
            yield self._problem("E109", path, message, "write if_missing: error, or select: flops")

    def _unused(
        self, objective: ObjectiveSpec, targets: Mapping[str, TargetSpec], layers: Sequence[RuleSpec]
    ) -> Iterator[Problem]:
        """W309 for a target that nothing is asked of; W307 says it of an `arch`."""
        whole = all(section in self.sections or section not in self.document.data for section in ("layers", "output"))
        gates = self.document.data.get("gates", ())
        if not whole or not isinstance(gates, tuple) or len(gates) != len(self.gates):
            return  # what is in question may be what uses it
        asking = [rule.when for rule in layers if rule.when is not None]
        used = {gate_target(gate, objective, targets) for _, gate in self.gates}
        used |= {name for when in asking for name in when.target or ()}
        if objective.on is not None or asks_objective_target(objective, layers):
            used |= {objective_target(objective, targets)}
        if not used <= {None, *targets}:
            return  # refused elsewhere: not declared, or none of several
        if "engine" in self.sections.get("output", OutputSpec()).export:
            used |= {engine_target(targets)}
        for name, target in targets.items():
            if name not in used and target.arch is None:
                message = f"target '{name}' is never used: nothing is measured on it, or built for it"
                advice = "name it in 'on' of the objective or of a gate, or leave it out"
                yield self._problem("W309", ("targets", name), message, advice, on_key=True)

    def _engine(self, output: OutputSpec, targets: Mapping[str, TargetSpec]) -> Iterator[Problem]:
        """What an engine needs, and what needs an engine."""
        ships, able = "engine" in output.export, [n for n, t in targets.items() if t.backend in ENGINE_BACKENDS]
        if ships and engine_target(targets) is None:
            path: KeyPath = ("output", "export")
            if able:
                message, known = "one engine ships: say of which target with its 'arch'", ", ".join(able)
                yield self._problem(
                    "E413", path, message, f"targets of TensorRT: {known}; one may have arch: [sm86, sm89]"
                )
            else:
                message = "an engine is built for a target of TensorRT, and there is none"
                advice = "declare one: targets: {rtx: {backend: tensorrt-rtx, arch: sm89}}"
                yield self._problem("E102", path, message, advice)
        asked = self._asked_of_hardware(targets)
        for name in able if not ships else ():
            if targets[name].arch is not None and name != asked:
                message = "no engine is built, so 'arch' changes nothing"
                advice = "write output: {export: [onnx, engine]}"
                yield self._problem("W307", ("targets", name, "arch"), message, advice, on_key=True)
        for position, gate in self.gates if not ships else ():
            if gate.metric in ENGINE_FIGURES:
                message = f"'{gate.metric}' is of the engine, and none is built"
                advice = "write output: {export: [onnx, engine]}"
                yield self._problem("E102", ("gates", position, "metric"), message, advice)

    def _asked_of_hardware(self, targets: Mapping[str, TargetSpec]) -> str:
        """The target whose GPUs a rule's `has` is about; empty where no rule asks."""
        objective, layers = self.sections.get("objective"), self.sections.get("layers", ())
        asks = any(rule.when is not None and rule.when.has for rule in layers)
        return objective_target(objective, targets) if asks and objective is not None else ""

    def _problem(self, code: str, path: KeyPath, message: str, *advice: str, on_key: bool = False) -> Problem:
        return Problem(code, message, self.document.place(path, on_key=on_key), advice, path)
