"""The targets of a recipe against this machine: what can be timed here, and what must be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from condensa_core.bench import BenchTarget, require_present
from condensa_core.engines import capability_named, family_named
from condensa_core.errors import CondensaError, MissingRuntime
from condensa_core.flow.objective import Objective, bench_target
from condensa_core.platforms import nvidia_gpus
from condensa_core.progress import Listener, Note
from condensa_core.recipe import GateSpec, Recipe, TargetSpec, engine_target, gate_target, objective_target, times_ranks

TIMING: Final = "what is timed on it"
ENGINE: Final = "its engine"


@dataclass(frozen=True)
class Missing:
    """A target that cannot serve here what the recipe asks of it: `what` is that, `reason` why not."""

    target: str
    what: str
    reason: str
    hint: str | None
    skipped: bool  # as the recipe allows; otherwise a run stops

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {name: getattr(self, name) for name in ("target", "what", "reason", "skipped")}

    @property
    def text(self) -> str:
        """`target 'gpu' is missing, what is timed on it is skipped: ...`."""
        then = f"{self.what} is skipped" if self.skipped else "a run stops"
        return f"target '{self.target}' is missing, {then}: {self.reason}"


def gate_objective(recipe: Recipe, gate: GateSpec) -> Objective:
    """The figure that a gate bounds as an objective, on the target of the gate."""
    name = gate_target(gate, recipe.objective, recipe.targets)
    own = Objective.of(recipe)
    target = bench_target(recipe.targets[name]) if name else own.target
    better: Literal["maximize", "minimize"] = "maximize" if gate.metric == "throughput" else "minimize"
    return replace(own, name=gate.metric, direction=better, target_name=name or "", target=target)


def timed_targets(recipe: Recipe) -> dict[str, BenchTarget]:
    """Everything that a run times candidates on, or single layers, by name; condensa's own is called ''."""
    names = [gate_target(gate, recipe.objective, recipe.targets) for gate in recipe.gates]
    if Objective.of(recipe).measured or times_ranks(recipe.rules.values()):
        names.insert(0, objective_target(recipe.objective, recipe.targets))
    wanted = dict.fromkeys(name for name in names if name is not None)
    return {name: bench_target(recipe.targets.get(name, TargetSpec())) for name in wanted}


def missing_targets(recipe: Recipe) -> tuple[Missing, ...]:
    """What is not there of the targets that something is timed on, or that ship an engine."""
    timed = timed_targets(recipe)
    found: list[Missing] = []
    for name, spec in recipe.targets.items():
        builds = "engine" in recipe.output.export and name == engine_target(recipe.targets)
        if name in timed:
            found += _missing(recipe, name, TIMING, lambda spec: require_present(bench_target(spec)))
        if builds:
            found += _missing(recipe, name, ENGINE, require_buildable)
    if "" in timed:
        require_present(timed[""])
    return tuple(found)


def require_targets(recipe: Recipe, listener: Listener) -> None:
    """MissingRuntime, at the target's place, for one that a run cannot do without; a Note for each that is skipped."""
    for missing in missing_targets(recipe):
        if not missing.skipped:
            message = f"target '{missing.target}': {missing.reason}"
            raise MissingRuntime(message, place=recipe.place("targets", missing.target), hint=missing.hint)
        listener(Note(missing.text, level="warning"))


def require_buildable(spec: TargetSpec) -> None:
    """MissingRuntime unless the target's engine can be built here; UsageError for an `arch` nothing is built for."""
    family = family_named(spec.backend)
    if spec.arch is None and not nvidia_gpus():
        raise MissingRuntime(
            f"{family.title} would build for the GPU of this machine, and here is no NVIDIA driver",
            hint="say what to build for, such as arch: sm89" if family.capabilities else None,
        )
    family.targets(capabilities_of(spec))


def capabilities_of(spec: TargetSpec) -> tuple[int, ...]:
    """What the target's `arch` names, as 89 for sm89."""
    return tuple(capability_named(text) for text in spec.arch or ())


def skipped_targets(recipe: Recipe, what: str = TIMING) -> Mapping[str, str]:
    """The targets of which `what` is left out here, each with the reason."""
    return {missing.target: missing.reason for missing in missing_targets(recipe) if missing.what == what}


def _missing(recipe: Recipe, name: str, what: str, require: Callable[[TargetSpec], None]) -> Iterator[Missing]:
    spec = recipe.targets[name]
    try:
        require(spec)
    except MissingRuntime as err:
        yield Missing(name, what, err.message, err.hint, spec.if_missing == "skip")
    except CondensaError as err:
        err.place = err.place or recipe.place("targets", name)
        raise
