"""Keys of a recipe that are written and change nothing, because another one decides; those of `compress` are apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condensa_core.errors import Problem
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.expressions import Ref
from condensa_core.recipe.records import CompressSpec, GateSpec, KnobSpec, ObjectiveSpec, RuleSpec, TargetSpec
from condensa_core.recipe.references import References
from condensa_core.recipe.schemes import FLOATING, SchemeSpec, check_setting
from condensa_core.recipe.search import SearchSpec
from condensa_core.recipe.target_checks import asks_objective_target
from condensa_core.recipe.vocabulary import ENGINE_BACKENDS, IMPLIED_KNOB, OBJECTIVES

_OF_SEVERAL_TRIALS = {"trials": "trials", "timeout": "timeout_s", "noise": "noise", "return": "return_"}


@dataclass(frozen=True)
class IdleKeys:
    """The checks over one recipe: W304 for each key that changes nothing, W301 for each name that nothing uses.

    `sections` holds those that are sound by themselves, `gates` come with their positions.
    """

    document: Document
    sections: Mapping[str, Any]
    references: References
    gates: Sequence[tuple[int, GateSpec]]

    def problems(self) -> Iterator[Problem]:
        """Every problem, in no particular order."""
        yield from self._names()
        if search := self.sections.get("search"):
            yield from self._of_one_trial(search)
        for name, target in self.sections.get("targets", {}).items():
            yield from self._threads(name, target)
        yield from self._counted_gates()
        rules: tuple[RuleSpec, ...] | None = self.sections.get("layers")
        if rules is None:
            return
        if objective := self.sections.get("objective"):
            yield from self._counted(objective, rules)
        compress = self.sections.get("compress") if "compress" in self.document.data else CompressSpec()
        if compress is not None:
            yield from self._metric(compress, rules)
            for number, rule in enumerate(rules):
                yield from self._scope(number, rule, rules, compress)
        for number, rule in enumerate(rules):
            yield from self._norms(number, rule)
            yield from self._scales(number, rule)

    def _names(self) -> Iterator[Problem]:
        """W301 for vars and patterns that are declared and never used."""
        for name in self.sections.get("vars", {}):
            if name not in self.references.used_vars | self.references.guessed:
                yield self._problem("W301", ("vars", name), f"var '{name}' is never used")
        patterns = self.sections.get("patterns", {})
        rules = self.sections.get("layers")
        if rules is None:
            return
        leaves = [leaf for rule in rules for scheme in rule.scheme for _, leaf in scheme.leaves()]
        used = {leaf.settings.get("pattern") for leaf in leaves}
        for name in patterns:
            if name not in used:
                yield self._problem("W301", ("patterns", name), f"pattern '{name}' is never used")

    def _of_one_trial(self, search: SearchSpec) -> Iterator[Problem]:
        """Also E101 for an early abort, which could not come."""
        if search.method != "none":
            return
        if search.early_abort:
            message = "an early abort learns from two finished trials, and method none makes one"
            yield self._problem("E101", ("search", "early_abort"), message, "leave it out")
        usual = SearchSpec(method="none", trials=1)
        for key, field in _OF_SEVERAL_TRIALS.items():
            if key in self.document.data["search"] and getattr(search, field) != getattr(usual, field):
                yield self._idle("method none makes one trial", ("search", key))

    def _threads(self, name: str, target: TargetSpec) -> Iterator[Problem]:
        if target.backend in ENGINE_BACKENDS and target.threads != 1:
            yield self._idle("an engine computes on the GPU alone", ("targets", name, "threads"))

    def _counted_gates(self) -> Iterator[Problem]:
        for position, gate in self.gates:
            figure = OBJECTIVES.get(gate.metric)
            if gate.on is not None and figure is not None and not figure.on_hardware:
                yield self._idle(f"'{gate.metric}' is counted, on no target", ("gates", position, "on"))

    def _counted(self, objective: ObjectiveSpec, rules: Sequence[RuleSpec]) -> Iterator[Problem]:
        if objective.on is None or objective.name not in OBJECTIVES or asks_objective_target(objective, rules):
            return
        yield self._idle(f"'{objective.name}' is counted, on no target", ("objective", "on"))

    def _metric(self, compress: CompressSpec, rules: Sequence[RuleSpec]) -> Iterator[Problem]:
        if compress.metric in (None, "identity") or any(heeds_metric(rule) for rule in rules):
            return
        yield self._idle("no scheme here heeds what layers read", ("compress", "metric"))

    def _scope(
        self, number: int, rule: RuleSpec, rules: Sequence[RuleSpec], compress: CompressSpec
    ) -> Iterator[Problem]:
        path: KeyPath = ("layers", number, "scope")
        # a metric counts where all weights of a scope have one, so the scope decides about that
        measured = compress.metric_used != "identity" and heeds_metric(rule)
        if rule.scope != "rule" and not measured and all(scheme.projects_apart for scheme in rule.scheme):
            yield self._idle("each tensor is compressed by itself here", path)
        elif rule.scope == "model" and not any(
            other is not rule and other.scope == "model" and _as_meant(other) == _as_meant(rule) for other in rules
        ):
            yield self._idle("no other rule has this scheme and scope: model", path)

    def _norms(self, number: int, rule: RuleSpec) -> Iterator[Problem]:
        """A scale between families where each family is taken by itself."""
        for position, scheme in enumerate(rule.scheme if rule.scope == "layer" else ()):
            if scheme.settings.get("norm") == "none" and scheme.kind != "prune":
                path: KeyPath = ("layers", number, "scheme", position, scheme.kind, "norm")
                yield self._idle("scope: layer compares no layers", path)

    def _scales(self, number: int, rule: RuleSpec) -> Iterator[Problem]:
        """What is about integers where a knob chooses among dtypes without any."""
        knobs: Mapping[str, KnobSpec] = self.sections.get("knobs", {})
        for position, scheme in enumerate(rule.scheme):
            for path, leaf in scheme.leaves():
                if leaf.quantize is None or not isinstance(leaf.quantize.dtype, Ref):
                    continue
                spec, key = knobs.get(leaf.quantize.dtype.name), leaf.quantize.of_integers
                choices = [_dtype(choice) for choice in (spec.choices if spec else None) or ()]
                if key is not None and leaf.quantize.activations is None and choices and set(choices) <= set(FLOATING):
                    reason = f"no choice of knob '{leaf.quantize.dtype.name}' is an integer"
                    yield self._idle(reason, ("layers", number, "scheme", position, *path, key))

    def _idle(self, reason: str, path: KeyPath) -> Problem:
        return self._problem("W304", path, f"{reason}, so '{path[-1]}' changes nothing")

    def _problem(self, code: str, path: KeyPath, message: str, *advice: str) -> Problem:
        return Problem(code, message, self.document.place(path, on_key=True), advice, path)


def heeds_metric(rule: RuleSpec) -> bool:
    """Whether any scheme of a rule heeds the metric of the weights."""
    return any(leaf.heeds_metric for scheme in rule.scheme for _, leaf in scheme.leaves())


def _as_meant(rule: RuleSpec) -> tuple[SchemeSpec, ...]:
    """Its schemes, with the knob that a sparsity left out stands for."""
    return tuple(scheme.with_implied_knob(Ref(IMPLIED_KNOB)) for scheme in rule.scheme)


def _dtype(choice: Any) -> str:
    try:
        return str(check_setting("dtype")(choice))
    except ValueError:  # refused where the knob is used
        return str(choice)
