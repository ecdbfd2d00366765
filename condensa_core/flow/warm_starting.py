"""Warm starts: where an earlier run's trials put the bound of this one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from condensa_core.errors import ResumeError, UsageError
from condensa_core.flow.comparable import head_of
from condensa_core.flow.searching import search_knob
from condensa_core.flow.workbench import Bound, Workbench
from condensa_core.plain_file import read_plain_text
from condensa_core.progress import Listener, Note
from condensa_core.recipe import ConstraintSpec, plain
from condensa_core.report import WarmStartResult
from condensa_core.run_directory import MANIFEST, RunDirectory
from condensa_core.search import (
    ExpectedStrength,
    HeldUpTo,
    Journal,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Observation,
    Space,
    one_knob_belief,
    read_journal,
)
from condensa_core.workload.location import located

FILE: Final = "warm-start.json"
_ENTRY: Final = "warm-start"

# What moves the crossing from run to run, in -ln(what is left), beside what the earlier trials leave open.
_TRAINED_AGAIN: Final = 0.1  # the same reference, data and recipe
_ANOTHER_SEED: Final = 0.3  # the same recipe with another reference, or another split of the data
_ANOTHER_RECIPE: Final = 0.6
# The sections of a recipe that shape how the metric falls with the knob. All others say what is asked of it.
_SHAPING: Final = ("model", "task", "data", "reference", "metrics", "keep", "layers", "compress", "patterns")


@dataclass(frozen=True)
class EarlierRun:
    """What a run directory says of its search, as this run keeps it."""

    path: str
    knob: Knob
    metric: str
    better: Literal["higher", "lower"]
    reference_metric: float
    noise_sd: float
    shapes: Mapping[str, str]  # section -> fingerprint; data and reference themselves among them
    observations: tuple[Observation, ...]  # the successful ones

    def to_record(self) -> dict[str, Any]:
        """JSON values from which `from_record` makes an equal one."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        record["knob"] = dataclasses.asdict(self.knob)
        record["observations"] = [o.to_record() for o in self.observations]
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EarlierRun:
        """What `to_record` described."""
        observations = tuple(Observation.from_record(o) for o in record["observations"])
        return cls(**{**record, "knob": _knob(record["knob"]), "observations": observations})


def earlier_runs(ready: Bound) -> tuple[EarlierRun, ...]:
    """The runs that the recipe's search is warm-started from, each once.

    UsageError, before anything is paid for, where one is no run, is damaged, has no finished trial, or searched another
    knob or metric.
    """
    recipe = ready.recipe
    named = recipe.search.warm_start or ()
    if not named:
        return ()
    if recipe.search.method != "level-set":
        raise UsageError(f"search method {recipe.search.method!r} takes no warm start", hint="level-set does")
    if len(ready.plan.space.names) != 1:
        raise UsageError("a warm start needs a recipe with one knob")
    knob = search_knob(ready.plan.space.names[0], ready)
    paths = dict.fromkeys(located(name, recipe.directory).resolve() for name in named)
    return tuple(_checked(_read(path), knob, recipe.constraint.metric) for path in paths)


def keep_earlier(directory: RunDirectory, runs: tuple[EarlierRun, ...]) -> None:
    """Write what this run takes from earlier ones into its own directory: resuming it does not need them."""
    if runs:
        directory.write_json(FILE, [run.to_record() for run in runs])


def describe_search(directory: RunDirectory, bench: Workbench, problem: LevelProblem) -> None:
    """Add to the manifest what a later run needs to be warm-started from this one."""
    head = head_of(directory.path)
    head["search"] = {
        "knob": dataclasses.asdict(problem.knob),
        "metric": bench.recipe.constraint.metric,
        "better": problem.better,
        "reference_metric": problem.reference_metric,
        "noise_sd": problem.default_sd,
        "shapes": _shapes(bench),
    }
    directory.write_json(MANIFEST, head)


def expectations(
    bench: Workbench, directory: RunDirectory, problem: LevelProblem, journal: Journal, listener: Listener
) -> tuple[ExpectedStrength, ...]:
    """What the earlier runs expect of this problem's crossing: from the journal, or derived and written there."""
    if not bench.recipe.search.warm_start:
        return ()
    if journal.last(_ENTRY) is None:
        found = [_expected(run, bench, problem) for run in _kept(directory)]
        journal.append(_ENTRY, {"runs": [dataclasses.asdict(result) for result in found]})
    results = warm_starts(journal)
    for result in results:
        listener(Note(_told(result, problem.knob.name)))
    return tuple((HeldUpTo if result.held else ExpectedStrength)(result.strength, result.sd) for result in results)


def warm_starts(journal: Journal) -> tuple[WarmStartResult, ...]:
    """What the journal says that the search was told of earlier runs."""
    entry = journal.last(_ENTRY)
    runs = entry["runs"] if entry else ()
    return tuple(WarmStartResult(**{**run, "differs": tuple(run["differs"])}) for run in runs)


def _read(path: Path) -> EarlierRun:
    """UsageError where there is no search to be read; the directory is not touched and may be in use."""
    if not path.is_dir():
        raise UsageError(f"there is no run directory {path} to start from", hint="give a folder that condensa run made")
    try:
        head = json.loads(read_plain_text(path / MANIFEST))
        kind = head.get("kind")
    except FileNotFoundError as err:
        raise UsageError(
            f"{path} holds no {MANIFEST}, so it is no run directory to start from",
            hint="give --warm-start a folder of a finished run",
        ) from err
    except (OSError, ValueError, RecursionError, AttributeError) as err:
        raise UsageError(
            f"{path / MANIFEST} is damaged; a search cannot start from it",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        ) from err
    if kind is not None:
        raise UsageError(
            f"{path} holds no run but an {kind}; a search cannot start from it",
            hint="give --warm-start a folder of a finished run",
        )
    if "search" not in head:
        hint = "it stopped before, has no single knob, or was made by an older condensa"
        raise UsageError(f"the run {path} never came to a search", hint=hint)
    try:
        _, entries = read_journal(path / "trials.jsonl")
        ended = [entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"]
        observations = [Observation.from_record({**record, "details": {}}) for record in ended]
        run = EarlierRun.from_record({**head["search"], "path": str(path), "observations": ()})
    except ResumeError as err:
        raise UsageError(
            f"{err.message}; a search cannot start from it",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        ) from err
    except (KeyError, TypeError, ValueError, UsageError) as err:
        raise UsageError(
            f"the run {path} is damaged; a search cannot start from it",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        ) from err
    succeeded = tuple(o for o in observations if o.metric is not None)
    if not succeeded:
        raise UsageError(
            f"the run {path} has no finished trial to start from",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        )
    return dataclasses.replace(run, observations=succeeded)


def _checked(run: EarlierRun, knob: Knob, metric: str) -> EarlierRun:
    """The run, if it is about the same knob in the same coordinates, and about the same metric."""
    if run.metric != metric:
        raise UsageError(
            f"the run {run.path} bounds {run.metric!r}, this recipe {metric!r}",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        )
    if run.knob.name != knob.name:
        raise UsageError(
            f"the run {run.path} searched knob {run.knob.name!r}, this recipe has {knob.name!r}",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        )
    alike = (run.knob.coordinate, run.knob.strongest, run.knob.choices)
    if alike != (knob.coordinate, knob.strongest, knob.choices):
        raise UsageError(
            f"the run {run.path} searched {knob.name!r} in another coordinate ({_walk(run.knob)}, here {_walk(knob)})",
            hint="give --warm-start a finished run, or one of the same knob and metric",
        )
    return run


def _walk(knob: Knob) -> str:
    listed = f" {list(knob.choices)}" if knob.choices else ""
    return f"{knob.coordinate}{listed}, strongest {knob.strongest}"


def _knob(record: Mapping[str, Any]) -> Knob:
    """The knob whose fields these are; JSON has made lists of its tuples."""
    fields: dict[str, Any] = {name: tuple(f) if isinstance(f, list) else f for name, f in record.items()}
    return Knob(**fields)


def _kept(directory: RunDirectory) -> list[EarlierRun]:
    try:
        records = json.loads(read_plain_text(directory.path / FILE))
        return [EarlierRun.from_record(record) for record in records]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError) as err:
        raise ResumeError(f"{directory.path / FILE} is gone or damaged", hint="start a new run") from err


def _expected(run: EarlierRun, bench: Workbench, problem: LevelProblem) -> WarmStartResult:
    """Where the run's own trials meet this problem's bound, moved into this problem's knob."""
    level = _level_of(run.reference_metric, bench.recipe.constraint, problem)
    empty = ObjectiveProfile(run.knob, (), 1.0)
    earlier = LevelProblem(Space((run.knob,)), empty, level, run.reference_metric, run.better, noise_sd=run.noise_sd)
    differs = _differences(run, bench, problem)
    margins = [earlier.margin(o.metric) for o in run.observations if o.metric is not None]
    if min(margins) >= 0:
        strongest = max(earlier.units(o.point)[0] for o in run.observations) * run.knob.reach
        strength = _moved(strongest, run.knob, problem.knob)
        value = _value(strength, problem.knob)
        return WarmStartResult(run.path, len(margins), value, strength, _between(differs), differs, held=True)
    belief = one_knob_belief(earlier, run.observations)
    crossing, weight = belief.posterior.models.crossing, belief.posterior.models.weight
    low, middle, high = (_moved(t, run.knob, problem.knob) for t in _quantiles(crossing, weight))
    sd = math.hypot((high - low) / 2, _between(differs))
    return WarmStartResult(run.path, len(margins), _value(middle, problem.knob), middle, sd, differs)


def _value(strength: float, knob: Knob) -> float | int | str | None:
    """The knob's value at strength t, None beyond its strongest."""
    return knob.value(strength / knob.reach) if strength <= knob.reach else None


def _level_of(reference: float, constraint: ConstraintSpec, problem: LevelProblem) -> float:
    """The bound as the earlier run would have had it: a change is one from its own reference, and so is a fixed bound,
    because another reference moves the whole curve."""
    if constraint.bound in ("max_drop", "max_rise"):
        return constraint.limit(reference)
    return reference - (problem.reference_metric - problem.level)


def _quantiles(t: np.ndarray[Any, np.dtype[np.float64]], weight: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """16, 50 and 84 % of weighted crossings: the median and one standard deviation to either side."""
    order = np.argsort(t)
    below = np.cumsum(weight[order]) - weight[order] / 2
    return [float(q) for q in np.interp([0.16, 0.5, 0.84], below, t[order])]


def _moved(t: float, earlier: Knob, now: Knob) -> float:
    """The strength under this knob of what was strength t under the earlier one; both coordinates are the same law."""
    if earlier.choices is not None:
        return t
    assert earlier.range is not None
    (u0, v0), (u1, v1) = ((earlier.unit(end) * earlier.reach, now.unit(end) * now.reach) for end in earlier.range)
    return v0 + (t - u0) * (v1 - v0) / (u1 - u0)


def _shapes(bench: Workbench) -> dict[str, str]:
    """A fingerprint of everything that the metric's fall depends on."""
    recipe = bench.recipe
    applied = [rule.model_copy(update={"when": None}) for rule in recipe.rules.values()]
    sections = {name: _digest(plain(getattr(recipe, name) if name != "layers" else applied)) for name in _SHAPING}
    return {**sections, "the data as read": bench.splits.fingerprint, "the reference's weights": bench.reference.sha256}


def _differences(run: EarlierRun, bench: Workbench, problem: LevelProblem) -> tuple[str, ...]:
    """In words, sections of the recipe first: those make it another recipe."""
    now = _shapes(bench)
    names = [name for name in now if run.shapes.get(name) != now[name]]
    if run.knob != problem.knob:
        names.append("the knob's range")
    return tuple(names)


def _between(differs: tuple[str, ...]) -> float:
    """The standard deviation that another run has, given what differs."""
    if set(differs) & {*_SHAPING, "the knob's range"}:
        return _ANOTHER_RECIPE
    return _ANOTHER_SEED if differs else _TRAINED_AGAIN


def _told(result: WarmStartResult, knob: str) -> str:
    trials = f"{result.trials} trial{'s' if result.trials > 1 else ''}"
    at = f"at {knob} {result.value:.4g}" if isinstance(result.value, float) else f"at {knob} {result.value}"
    where = "beyond the strongest setting" if result.value is None else f"about {at}"
    differs = f"; not the same: {', '.join(result.differs)}" if result.differs else ""
    sure = f"standard deviation {result.sd:.2g} of -ln(what is left)"
    if result.held:
        where = where.removeprefix("about at ")
        return (
            f"warm start: {trials} of {result.run} held up to {where}; the bound lies there or beyond ({sure}{differs})"
        )
    return f"warm start: {trials} of {result.run} put the bound {where} ({sure}{differs})"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
