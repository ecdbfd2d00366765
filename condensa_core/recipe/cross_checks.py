"""Checks between sections: names that must be declared, directions, units, and how knobs are used.

Each looks only at sections that are sound by themselves, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from condensa_core.errors import Problem
from condensa_core.recipe.compress_checks import CompressChecks
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.idle_keys import IdleKeys, heeds_metric
from condensa_core.recipe.knob_checks import KnobChecks
from condensa_core.recipe.possible_rules import holds_nowhere, possible_rules
from condensa_core.recipe.records import (
    BoundSpec,
    CompressSpec,
    ConstraintSpec,
    DataSpec,
    GateSpec,
    ModelSpec,
    ObjectiveSpec,
    ReferenceSpec,
    RuleSpec,
)
from condensa_core.recipe.references import References
from condensa_core.recipe.refusals import near, suggestion
from condensa_core.recipe.schemes import STRUCTURED
from condensa_core.recipe.search import SearchSpec
from condensa_core.recipe.target_checks import TargetChecks, objective_target
from condensa_core.recipe.vocabulary import (
    DEFAULT_TASK,
    ENGINE_FIGURES,
    IMPLIED_KNOB,
    LANGUAGE_MODELS,
    LANGUAGE_TASK,
    METRIC_KINDS,
    OBJECTIVES,
    SHORT_OBJECTIVES,
    TASKS,
    TEXT_DATA,
    Dimension,
    Figure,
)

_SHOWN = 80  # characters of a path
_WEIGHTS_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")  # of what may have been meant


@dataclass(frozen=True)
class CrossChecks:
    """The checks over one recipe; `sections` holds those that are sound, by field name.

    `directory` is where the files that it names are looked for; None leaves them to whoever loads them.
    """

    document: Document
    sections: Mapping[str, Any]
    references: References
    directory: Path | None = None

    def problems(self) -> Iterator[Problem]:
        """Every problem, in no particular order."""
        if "metrics" in self.sections or "metrics" not in self.document.data:
            metrics = self._metrics()
            yield from self._declared_kinds()
            if constraint := self.sections.get("constraint"):
                yield from self._constraint(constraint, metrics)
                if search := self.sections.get("search"):
                    yield from self._noise(search, metrics.get(constraint.metric))
            for position, gate in self._gates():
                yield from self._gate(gate, ("gates", position), metrics)
        if objective := self.sections.get("objective"):
            yield from self._objective(objective)
        if data := self.sections.get("data"):
            yield from self._splits(data)
        yield from self._about_text()
        yield from self._python_files()
        yield from self._weights_file()
        yield from self._earlier_runs()
        if (model := self.sections.get("model")) and (reference := self.sections.get("reference")):
            yield from self._reference(model, reference)
        yield from self._unused_knobs()
        if "layers" in self.sections and ("knobs" in self.sections or "knobs" not in self.document.data):
            knobs, search = self.sections.get("knobs", {}), self.sections.get("search")
            yield from KnobChecks(self.document, self.references).problems(self.sections["layers"], knobs, search)
        if compress := self.sections.get("compress"):
            checks = CompressChecks(self.document, compress)
            yield from checks.problems(self.sections.get("layers"), self.sections.get("search"))
        if "layers" in self.sections:
            yield from self._conditions(self.sections["layers"])
            possible = self._possible(self.sections["layers"])
            yield from self._timed_ranks(self.sections["layers"], possible)
            yield from self._observers(possible)
            yield from self._calibration(possible)
        gates = tuple(self._gates())
        yield from TargetChecks(self.document, self.sections, gates).problems()
        yield from IdleKeys(self.document, self.sections, self.references, gates).problems()

    @property
    def _task(self) -> str | None:
        """The recipe's task, None if what it says is no task."""
        task: str | None = self.sections.get("task")
        return task if task is not None or "task" in self.document.data else DEFAULT_TASK

    def _kinds(self) -> tuple[str, ...]:
        """The kinds of metrics of the recipe's task; all of them where the task itself is in question."""
        return tuple(METRIC_KINDS) if self._task is None or any(self._about_text()) else TASKS[self._task]

    def _metrics(self) -> dict[str, Figure]:
        declared = self.sections.get("metrics", {})
        own = {kind: METRIC_KINDS[kind] for kind in self._kinds()}
        return {**own, **{name: METRIC_KINDS[spec.kind] for name, spec in declared.items()}}

    def _declared_kinds(self) -> Iterator[Problem]:
        """E401 for declared metrics of a kind that the task does not have."""
        known = self._kinds()
        for name, spec in self.sections.get("metrics", {}).items():
            if spec.kind not in known:
                message = f"task '{self._task}' has no metric of kind '{spec.kind}'"
                yield self._problem("E401", ("metrics", name, "kind"), message, f"it has: {', '.join(known)}")

    def _about_text(self) -> Iterator[Problem]:
        """E109 where the task is about text and built-in data or model are not, or the other way round; told once."""
        if self._task is None:
            return
        reads = self._task == LANGUAGE_TASK
        of_text = {"data": TEXT_DATA, "model": LANGUAGE_MODELS}
        for section, names in of_text.items():
            found = self.sections.get(section)
            if found is None or found.builtin is None or (found.builtin in names) == reads:
                continue
            what = f"builtin {section} '{found.builtin}'"
            if reads:
                message, advice = f"task '{self._task}' is about text, {what} is not", f"of text: {', '.join(names)}"
            else:
                message, advice = f"{what} is of text, task '{self._task}' is not", f"write task: {LANGUAGE_TASK}"
            yield self._problem("E109", (section, "builtin"), message, advice)
            return

    def _python_files(self) -> Iterator[Problem]:
        """E505 for each Python file that is named and is not there; none of them is opened."""
        if self.directory is None:
            return
        for section in ("model", "data", "patterns", "layers"):
            for path, reference in _named_python(self.references.data.get(section), (section,)):
                file = reference.rpartition(":")[0]
                if file.endswith(".py") and not _is_file(self.directory / file):
                    others = [other.name for other in self.directory.glob("*.py")]
                    close = near(file, others)
                    advice = f"did you mean '{close}'?" if close else "a path starts from the folder of the recipe"
                    yield self._problem("E505", path, f"'{file}' does not exist", advice)

    def _weights_file(self) -> Iterator[Problem]:
        """E505 for weights that are named and are not there; they are not opened."""
        model = self.sections.get("model")
        if self.directory is None or model is None or model.weights is None:
            return
        try:
            path = self.directory / Path(model.weights).expanduser()
            if path.is_file():
                return
            state = "is a folder" if path.is_dir() else "does not exist"
            others = [other.name for other in path.parent.glob("*") if other.suffix in _WEIGHTS_ENDINGS]
        except (OSError, RuntimeError):  # too long a name, a folder that is closed; no such user
            state, others = "cannot be looked up", []
        close = near(Path(model.weights).name, others)
        advice = f"did you mean '{close}'?" if close else "a path starts from the folder of the recipe"
        yield self._problem("E505", ("model", "weights"), f"'{model.weights[:_SHOWN]}' {state}", advice)

    def _earlier_runs(self) -> Iterator[Problem]:
        """E505 for each earlier run that is named and is no folder; none of them is opened."""
        search = self.sections.get("search")
        if self.directory is None or search is None:
            return
        listed = isinstance(self.document.data["search"]["warm_start"], tuple) if search.warm_start else False
        for position, name in enumerate(search.warm_start or ()):
            if not _is_folder(self.directory, name):
                path: KeyPath = ("search", "warm_start", *([position] if listed else []))
                advice = "name the folder of an earlier run; a path starts from the folder of the recipe"
                yield self._problem("E505", path, f"there is no run directory '{name}'", advice)

    def _constraint(self, constraint: ConstraintSpec, metrics: Mapping[str, Figure]) -> Iterator[Problem]:
        figure = metrics.get(constraint.metric)
        if figure is not None:
            yield from self._bound(constraint, figure, ("constraint",))
        elif constraint.metric in OBJECTIVES or constraint.metric in SHORT_OBJECTIVES:
            message = f"'{constraint.metric}' is no metric of quality, so it cannot be the constraint"
            advice = "bound it under 'gates', and constrain one of: " + ", ".join(metrics)
            yield self._problem("E401", ("constraint", "metric"), message, advice)
        else:
            message = f"metric '{constraint.metric}' is not known"
            yield self._problem("E401", ("constraint", "metric"), message, suggestion(constraint.metric, metrics))

    def _noise(self, search: SearchSpec, figure: Figure | None) -> Iterator[Problem]:
        """E402 or E106 where the noise is not one of the constraint's metric."""
        noise = search.noise
        if noise is None or figure is None:
            return
        own = ("points", "0.2pp") if figure.dimension == "fraction" else ("bare", "0.01")
        if noise.unit not in (own[0], "relative"):
            message = f"noise '{noise}' has a unit that the constraint's metric does not"
            yield self._problem("E402", ("search", "noise"), message, f"write {own[1]}, or 0.2% of the reference's")
        elif noise.value < 0 or (noise.unit != "bare" and noise.value > 1):
            yield self._problem("E106", ("search", "noise"), f"noise '{noise}' is no standard deviation of a metric")

    def _gates(self) -> Iterator[tuple[int, GateSpec]]:
        """The gates that are sound by themselves, with their positions, whatever is wrong with the others."""
        written = self.references.data.get("gates")
        for position, gate in enumerate(written if isinstance(written, tuple) else ()):
            try:
                yield position, GateSpec.model_validate(gate)
            except ValidationError:
                continue  # reported where the section was read

    def _gate(self, gate: GateSpec, path: KeyPath, metrics: Mapping[str, Figure]) -> Iterator[Problem]:
        name = gate.metric
        figure = metrics.get(name) or OBJECTIVES.get(name) or ENGINE_FIGURES.get(name)
        if figure is None:
            message, known = f"metric '{name}' is not known", (*metrics, *OBJECTIVES, *ENGINE_FIGURES)
            yield self._problem("E401", (*path, "metric"), message, suggestion(name, known))
            return
        yield from self._bound(gate, figure, path)
        if gate.split is not None and name not in metrics:
            message = f"'{name}' does not depend on data, so it has no split"
            yield self._problem("E101", (*path, "split"), message, on_key=True)
        data = self.sections.get("data")
        if gate.split == "test" and data is not None and data.builtin is None and data.test is None:
            yield self._problem("E102", (*path, "split"), "this gate reads the split 'test', but 'data' names none")
        if gate.on is not None and (name in metrics or name in ENGINE_FIGURES):
            reason = "is of the one engine that ships" if name in ENGINE_FIGURES else "does not depend on hardware"
            message = f"'{name}' {reason}, so it is on no target"
            yield self._problem("E101", (*path, "on"), message, on_key=True)
        elif gate.on is None:
            yield from self._where(name, figure, path)
        else:
            yield from self._target(gate.on, (*path, "on"))

    def _bound(self, spec: BoundSpec, figure: Figure, path: KeyPath) -> Iterator[Problem]:
        floor, drop = ("at_least", "max_drop") if figure.better == "higher" else ("at_most", "max_rise")
        if spec.bound not in (floor, drop):
            is_change = spec.bound in ("max_drop", "max_rise")
            limits = ("its drop", "it from below") if figure.better == "higher" else ("its rise", "it from above")
            message = f"'{spec.metric}' is better when {figure.better}, so limit {limits[0 if is_change else 1]}"
            advice = f"write {drop if is_change else floor}"
            yield self._problem("E403", (*path, spec.bound), message, advice, on_key=True)
            return
        refused = _unit_refusal(spec, figure.dimension)
        if refused is not None:
            code, message, advice = refused
            yield self._problem(code, (*path, spec.bound), message, advice)

    def _objective(self, objective: ObjectiveSpec) -> Iterator[Problem]:
        path: KeyPath = ("objective", objective.direction)
        figure = OBJECTIVES.get(objective.name)
        if figure is None:
            message = f"objective '{objective.name}' is not known"
            yield self._problem("E411", path, message, suggestion(objective.name, (*OBJECTIVES, *SHORT_OBJECTIVES)))
        elif (figure.better == "higher") != (objective.direction == "maximize"):
            good = "maximize" if figure.better == "higher" else "minimize"
            message = f"'{objective.direction} {objective.name}' makes the model worse"
            yield self._problem("E412", path, message, f"write {good}: {objective.name}", on_key=True)
        if objective.on is not None:
            yield from self._target(objective.on, ("objective", "on"))
        elif figure is not None:
            yield from self._where(objective.name, figure, path)

    def _where(self, name: str, figure: Figure, path: KeyPath) -> Iterator[Problem]:
        targets = _declared(self.document.data, "targets")
        if figure.on_hardware and len(targets) > 1:
            message = f"'{name}' is measured on hardware: say where with 'on: <target>'"
            yield self._problem("E413", path, message, f"targets: {', '.join(targets)}")

    def _target(self, name: str, path: KeyPath) -> Iterator[Problem]:
        targets = _declared(self.document.data, "targets")
        if name not in targets:
            advice = suggestion(name, targets) if targets else "declare it under 'targets', or leave this out"
            yield self._problem("E240", path, f"target '{name}' is not declared", advice)

    def _conditions(self, rules: tuple[RuleSpec, ...]) -> Iterator[Problem]:
        """E240 for targets of `when` that are not declared, E413 where the objective is on none of several."""
        targets = _declared(self.document.data, "targets")
        asking = {number: rule.when for number, rule in enumerate(rules) if rule.when is not None}
        for number, when in asking.items():
            for position, name in enumerate(when.target or ()):
                yield from self._target(name, ("layers", number, "when", "target", position))
        objective = self.sections.get("objective")
        if asking and objective and objective.on is None and len(targets) > 1:
            figure = OBJECTIVES.get(objective.name)
            if figure is not None and not figure.on_hardware:  # else said of the objective itself
                path: KeyPath = ("objective", objective.direction)
                message = "'when' asks about the objective's target: say which with 'on: <target>'"
                yield self._problem("E413", path, message, f"targets: {', '.join(targets)}")

        specs = self.sections.get("targets", {})
        for number, when in asking.items():
            if why := holds_nowhere(when, specs):
                message = "these conditions exclude each other, so the rule never applies"
                yield self._problem("W308", ("layers", number, "when"), message, why, on_key=True)

    def _possible(self, rules: tuple[RuleSpec, ...]) -> Mapping[int, RuleSpec]:
        """The rules that may apply on the objective's target; all of them where that is in question."""
        objective, targets = self.sections.get("objective"), self.sections.get("targets")
        if objective is None or (targets is None and "targets" in self.document.data):
            return dict(enumerate(rules))
        return possible_rules(rules, objective_target(objective, targets or {}), targets or {})

    def _splits(self, data: DataSpec) -> Iterator[Problem]:
        val, test = data.val, data.test
        if val is not None and test is not None and (val.python, val.args) == (test.python, test.args):
            message = "data.test and data.val read the same source; the test result will not be independent"
            yield self._problem("W303", ("data", "test"), message, on_key=True)

    def _reference(self, model: ModelSpec, reference: ReferenceSpec) -> Iterator[Problem]:
        if model.weights is not None and reference.train != type(reference.train)():
            message = "the reference is read from model.weights, so 'reference.train' changes nothing"
            yield self._problem("W304", ("reference", "train"), message, on_key=True)

    def _observers(self, rules: Mapping[int, RuleSpec]) -> Iterator[Problem]:
        """E109 where rules choose the reach of activations in different ways: tensors lie between layers of both."""
        first: str | None = None
        for number, rule in rules.items():
            for position, scheme in enumerate(rule.scheme):
                first = first or scheme.observer
                if scheme.observer not in (None, first):
                    path: KeyPath = ("layers", number, "scheme", position, "quantize", "observer")
                    message = f"an earlier rule has observer '{first}', and a file has one for all of its activations"
                    yield self._problem("E109", path, message, f"write observer: {first} in both")

    def _calibration(self, rules: Mapping[int, RuleSpec]) -> Iterator[Problem]:
        """W305 for data to calibrate with where neither activations nor a metric of the weights ask for any."""
        data, written = self.sections.get("data"), "compress" in self.document.data
        compress = self.sections.get("compress") if written else CompressSpec()
        observed = any(scheme.observer is not None for rule in rules.values() for scheme in rule.scheme)
        if data is None or data.calib is None or compress is None or observed:
            return
        if compress.metric_used == "identity" or not any(map(heeds_metric, rules.values())):
            message = "nothing is calibrated: no rule has activations, and errors of weights are not measured by data"
            yield self._problem("W305", ("data", "calib"), message, on_key=True)

    def _timed_ranks(self, rules: tuple[RuleSpec, ...], possible: Container[int]) -> Iterator[Problem]:
        """Where ranks are chosen by latency: E231 without a layer to time, E413 without a target to time it on.

        No target is needed for rules that are not `possible`.
        """
        for number, rule in enumerate(rules):
            for position, scheme in enumerate(rule.scheme):
                for below, leaf in scheme.leaves():
                    if leaf.settings.get("select") != "latency":
                        continue
                    path: KeyPath = ("layers", number, "scheme", position, *below, "select")
                    cutting = [one.kind for one in rule.scheme[:position] if one.kind in STRUCTURED]
                    if scheme.sum is not None:
                        message = "a summand is no layer of its own, so its ranks have no latency"
                        yield self._problem("E231", path, message, "write select: flops or storage")
                    elif cutting:
                        message = f"latency is measured on whole layers, and '{cutting[0]}' leaves others"
                        yield self._problem("E231", path, message, "write select: flops, which counts what is left")
                    elif number in possible:
                        yield from self._timed_somewhere(path)

    def _timed_somewhere(self, path: KeyPath) -> Iterator[Problem]:
        objective, targets = self.sections.get("objective"), _declared(self.document.data, "targets")
        figure = OBJECTIVES.get(objective.name) if objective is not None else None
        if objective is None or figure is None or figure.on_hardware or objective.on is not None or len(targets) == 1:
            return
        message = f"'select: latency' is measured on hardware, and the objective '{objective.name}' is on none"
        known = f"say where with objective: {{..., on: TARGET}}; targets: {', '.join(targets)}"
        advice = known if targets else "declare one under 'targets', such as targets: {cpu: {backend: onnxruntime}}"
        yield self._problem("E413", path, message, advice)

    def _unused_knobs(self) -> Iterator[Problem]:
        used = self.references.used | self.references.guessed
        if _leaves_sparsity_out(self.document.data):
            used = used | {IMPLIED_KNOB}
        for name in self.references.knobs:
            if name not in used:
                message = f"knob '{name}' is never used, so the search would vary nothing with it"
                yield self._problem("W301", ("knobs", name), message, on_key=True)

    def _problem(self, code: str, path: KeyPath, message: str, *advice: str, on_key: bool = False) -> Problem:
        return Problem(code, message, self.document.place(path, on_key=on_key), advice, path)


def _declared(data: Mapping[str, Any], section: str) -> tuple[str, ...]:
    found = data.get(section)
    return tuple(found) if isinstance(found, Mapping) else ()


def _is_file(path: Path) -> bool:
    """Whether there is such a file; no for what the system does not even look up."""
    with suppress(OSError):  # too long a name, a folder that is closed
        return path.is_file()
    return False


def _is_folder(directory: Path, name: str) -> bool:
    """The same for a folder, whose name may begin with a home folder."""
    with suppress(OSError, RuntimeError):  # Runtime: no such user
        return (directory / Path(name).expanduser()).is_dir()
    return False


def _named_python(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The references to Python below a value of the (unchecked) recipe, with their key paths."""
    if isinstance(value, tuple):
        for position, child in enumerate(value):
            yield from _named_python(child, (*path, position))
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if key == "python" and isinstance(child, str):
                yield (*path, key), child
            elif key != "args":  # the user's own
                yield from _named_python(child, (*path, key))


def _leaves_sparsity_out(data: Any) -> bool:
    """Whether a scheme anywhere in the (unchecked) rules names no strength where it could."""
    rules = data.get("layers")
    for rule in rules if isinstance(rules, tuple) else ():
        if isinstance(rule, Mapping) and _implies_knob(rule.get("scheme")):
            return True
    return False


def _implies_knob(schemes: Any) -> bool:
    for scheme in schemes if isinstance(schemes, tuple) else (schemes,):
        for kind, settings in scheme.items() if isinstance(scheme, Mapping) else ():
            if kind == "sum" and _implies_knob(settings):
                return True
            if kind in (*STRUCTURED, "prune", "block"):
                given = settings if isinstance(settings, Mapping) else {}
                if not {"sparsity", "kappa", "alpha"} & set(given) and ":" not in str(given.get("pattern")):
                    return True
    return False


def _unit_refusal(spec: BoundSpec, dimension: Dimension) -> tuple[str, str, str] | None:
    """Code, message and advice where the amount's unit does not fit the bound; None where it does."""
    bound, amount = spec.bound, spec.amount
    number = f"{amount.value:g}"
    if bound in ("max_drop", "max_rise"):
        above = "below" if bound == "max_drop" else "above"
        allowed = ("relative", "points") if dimension == "fraction" else ("relative",)
        if amount.unit == "bare":
            points = f"'{number}pp' is {number} percentage points {above} the reference, "
            percent = f"'{number}%' is {number} percent of the reference"
            return "E402", f"{bound} '{number}' has no unit", (points if dimension == "fraction" else "") + percent
        if amount.unit not in allowed:
            message = f"{bound} '{amount}' has a unit that '{spec.metric}' cannot change by"
            return "E402", message, "write it in percent of the reference: 2%"
        if amount.value < 0 or (bound == "max_drop" and amount.value > 1):
            message = f"{bound} '{amount}' is outside 0 to 100 percent"
            return "E106", message, "write the change that is still fine, such as 2%"
        return None
    natural, example = {
        "fraction": ("bare", "0.74"),
        "number": ("bare", "1.2"),
        "rate": ("rate", "1000/s"),
        "time": ("seconds", "5ms"),
        "bytes": ("bytes", "6MiB"),
        "count": ("bare", "1000000"),
    }[dimension]
    if amount.unit == "bare" and dimension == "rate":
        readings = f"'{number}x' is {number} times the reference, '{number}/s' is {number} samples per second"
        return "E402", f"{bound} '{number}' has no unit", readings
    if amount.unit == "bare" and natural != "bare":
        return "E402", f"{bound} '{number}' has no unit", f"write {example}, or a multiple of the reference: 0.5x"
    if amount.unit not in (natural, "factor"):
        return (
            "E402",
            f"{bound} '{amount}' has a unit that does not fit '{spec.metric}'",
            f"write the value itself, such as {example}, or a multiple of the reference: 0.98x",
        )
    if amount.unit == "factor" and amount.value <= 0:
        advice = "write a multiple of the reference, such as 0.5x"
        return "E404", f"{bound} '{amount}' is no multiple above zero", advice
    if amount.value < 0 or (dimension == "fraction" and amount.unit == "bare" and amount.value > 1):
        advice = f"write {amount.value / 100:g} for {number}%" if 1 < amount.value <= 100 else "it must be at least 0"
        return "E404", f"{bound} {number} is outside 0 to {'1' if dimension == 'fraction' else 'infinity'}", advice
    return None
