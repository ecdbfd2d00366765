"""What a run found, as one frozen record that is also a JSON document (schema `condensa.result/1`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from condensa_core.errors import UsageError
from condensa_core.plain_file import read_plain_text
from condensa_core.report.engine import EngineResult
from condensa_core.report.evidence import ShortRunsResult, WarmStartResult
from condensa_core.report.integers import IntegersResult
from condensa_core.report.model_input import ModelInput
from condensa_core.report.ratio import RatioInterval
from condensa_core.report.training_cost import TrainingCost

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = "condensa.result/1"

Status = Literal["ok", "infeasible", "gate-failed", "failed"]
Value = float | int | str | bool | None
Knobs = Mapping[str, Value]

EXIT_CODES: Mapping[Status, int] = {"ok": 0, "infeasible": 1, "gate-failed": 1, "failed": 4}


@dataclass(frozen=True)
class Figure:
    """A metric over `count` samples (or what the outcome `counted`) with its standard error; fractions are 0..1, not
    percent."""

    value: float | None
    stderr: float | None = None
    count: int | None = None


# {"val": {"top1": Figure}, "test": {...}}
SplitFigures = Mapping[str, Mapping[str, Figure]]


@dataclass(frozen=True)
class LayerChange:
    """Units (channels, neurons) of one layer before and after."""

    name: str
    before: int
    after: int
    parameters_before: int | None = None
    parameters_after: int | None = None


@dataclass(frozen=True)
class ReferenceResult:
    """The model before compression, judged and measured like the candidates."""

    metrics: SplitFigures = field(default_factory=dict)
    objective: float | None = None
    measurement: Mapping[str, Any] = field(default_factory=dict)
    bytes: int | None = None
    macs: int | None = None
    parameters: int | None = None
    training_macs: int | None = None  # as in TrainingCost, by its training plan; None where its weights were given


@dataclass(frozen=True)
class BestResult:
    """The candidate that ships; `agreement` is how often it predicts what the reference predicts, per split."""

    trial: int
    knobs: Knobs = field(default_factory=dict)
    metrics: SplitFigures = field(default_factory=dict)
    agreement: Mapping[str, Figure] = field(default_factory=dict)
    objective: float | None = None
    ratio: RatioInterval | None = None
    searched: RatioInterval | None = None  # `ratio` as the search measured it, before the artifact was measured again
    measurement: Mapping[str, Any] = field(default_factory=dict)
    bytes: int | None = None
    macs: int | None = None
    parameters: int | None = None
    layers: tuple[LayerChange, ...] = ()


@dataclass(frozen=True)
class DirectResult:
    """Direct compression at the same knobs (no learning), reported apart and never shipped."""

    metrics: SplitFigures = field(default_factory=dict)


@dataclass(frozen=True)
class BoundOnTest:
    """The constraint's bound on the split that the search never read; it decides nothing. As `ConstraintResult`."""

    limit: float
    value: float
    met: bool
    stderr: float | None = None


@dataclass(frozen=True)
class ConstraintResult:
    """The bound the search had to keep: its text in the recipe, the limit it became, the value reached."""

    text: str
    metric: str = ""
    limit: float | None = None
    value: float | None = None
    met: bool | None = None
    stderr: float | None = None  # of the distance between value and limit, from the samples it was judged on
    test: BoundOnTest | None = None


@dataclass(frozen=True)
class ObjectiveResult:
    """What was maximised or minimised; `unit` of the values, e.g. 1/s, s, bytes, MACs."""

    text: str
    name: str = ""
    direction: Literal["maximize", "minimize"] = "maximize"
    target: str = ""
    unit: str = ""


@dataclass(frozen=True)
class GateResult:
    """One gate of the recipe, judged on the artifact that ships; `unit` of value, limit and 95 % interval ("x" for a
    ratio).

    `met` is None where it was skipped; `reason` says why, or why something that could not be judged counts as not met.
    `low` and `high` are None for what is counted. `within_noise`: the limit is nearer than they, or what two sessions
    of one file differ by, can tell.
    """

    text: str
    value: float | None = None
    limit: float | None = None
    met: bool | None = None
    unit: str = ""
    reason: str = ""
    low: float | None = None
    high: float | None = None
    within_noise: bool = False


@dataclass(frozen=True)
class TrialResult:
    """One row of the trials table; `probability` that the constraint holds, where the search knows it."""

    number: int
    knobs: Knobs = field(default_factory=dict)
    status: str = "ok"
    metric: float | None = None
    stderr: float | None = None
    objective: float | None = None
    ratio: float | None = None
    feasible: bool | None = None
    probability: float | None = None
    reason: str = ""
    training_cost: TrainingCost | None = None  # failed attempts included


@dataclass(frozen=True)
class BisectionResult:
    """What plain bisection would have done on the same answers, the model's where nothing was trained.

    It would have shipped the objective that was shipped, within 1 %, from training `reached_after` on (None: never),
    and `ships` times the reference's after as many trainings as the search made, `believed` of those answers being the
    model's; it ends by itself after `trainings`.
    """

    reached_after: int | None
    ships: float
    trainings: int
    believed: int


@dataclass(frozen=True)
class SearchResult:
    """How the best point was found and how sure the search is of it.

    `ships` is the objective of the best trial as the search measured it, a multiple of the reference's, which it stayed
    within 1 % of from training `reached_after` of `trainings` on; None where it was not compared with bisection.
    """

    method: str
    bracket: tuple[float | None, float | None] | None = None
    probability: float | None = None
    reason: str = ""
    trainings: int | None = None
    reached_after: int | None = None
    ships: float | None = None
    bisection: BisectionResult | None = None  # in log-density, over the records
    bisection_raw: BisectionResult | None = None  # in the knob itself, over all settings
    warm_starts: tuple[WarmStartResult, ...] = ()
    short_runs: ShortRunsResult | None = None


@dataclass(frozen=True)
class FrontMember:
    """A trial that no other beats in both objective and metric; all of them were measured together, in turns.

    `folder` holds its files, relative to the run directory; `ratio` is how many times better than the reference's its
    objective is; `bytes` and `sha256` are of its model.onnx.
    """

    trial: int
    folder: str
    bytes: int
    sha256: str
    knobs: Knobs = field(default_factory=dict)
    metrics: SplitFigures = field(default_factory=dict)
    objective: float | None = None
    ratio: RatioInterval | None = None


@dataclass(frozen=True)
class KnobReading:
    """The constraint's metric of the untrained model with one knob moved to `value`, the others at their mildest."""

    knob: str
    value: Value
    metric: float


@dataclass(frozen=True)
class Artifact:
    """A file that came out; `path` is relative to the run directory."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Sizes:
    """Sizes of the result in bytes of the real files and in the bits theory counts (indices included).

    `ratio_paper` is the figure papers print (parameters before over non-zeros after): never what a disk holds.
    """

    onnx: int | None = None
    packed: int | None = None
    theoretical_bits: int | None = None
    ratio_paper: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a run: everything `result.json`, the console and `junit.xml` say, and nothing they compute."""

    status: Status
    name: str
    reasons: tuple[str, ...] = ()
    run_dir: str = ""
    recipe_hash: str = ""
    seed: int = 0
    counted: str = "samples"  # what `count` of every figure counts: tokens for a language model
    reference: ReferenceResult = ReferenceResult()
    best: BestResult | None = None
    direct: DirectResult | None = None
    constraint: ConstraintResult | None = None
    objective: ObjectiveResult | None = None
    gates: tuple[GateResult, ...] = ()
    trials: tuple[TrialResult, ...] = ()
    trainings_used: int = 0
    training_cost: TrainingCost | None = None  # of all trials together
    search: SearchResult | None = None
    sensitivity: tuple[KnobReading, ...] = ()  # of several knobs, before the search
    front: tuple[FrontMember, ...] = ()  # of method pareto, from the best objective to the best metric
    artifacts: tuple[Artifact, ...] = ()
    inputs: tuple[ModelInput, ...] = ()  # of best/model.onnx, and so of all that is written beside it
    sizes: Sizes = Sizes()
    parity: Mapping[str, Any] = field(default_factory=dict)
    engine: EngineResult | None = None  # of best/model.onnx, where one is asked for
    integers: IntegersResult | None = None  # where layers compute in integers; `parity` is that of the float file then
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code of the command that reports this outcome; it follows from the status."""
        return EXIT_CODES[self.status]

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the recipe declares and nobody judged or built, each with its reason; it counts neither way."""
        gates = [f"the gate {gate.text}: {gate.reason}" for gate in self.gates if gate.met is None]
        engine = self.engine
        if engine is not None and engine.skipped:
            gates.append(f"the engine for target '{engine.target}': {engine.problem}")
        return tuple(gates)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps(..., allow_nan=False)` accepts: NaN and infinities become None.

        Of bytes of file names that are no UTF-8, a question mark stays.
        """
        body = _sayable(_adapter().dump_python(self))
        head = {"schema": SCHEMA, "status": body.pop("status"), "exit_code": self.exit_code}
        return head | {"reasons": body.pop("reasons"), "skipped": list(self.skipped)} | body

    @staticmethod
    def from_json(document: Mapping[str, Any], *, file: str = "result.json") -> Outcome:
        """The record of a document written by `to_json`; unknown keys are ignored, UsageError if it is none."""
        from pydantic import ValidationError

        if document.get("schema") != SCHEMA:
            raise UsageError(
                f"{file} has schema {document.get('schema')!r}, this condensa reads {SCHEMA!r}",
                hint="use the condensa that made this run, or another run",
            )
        try:
            return _adapter().validate_python({k: v for k, v in document.items() if k not in ("schema", "exit_code")})
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{file} is damaged at '{where}': {first['msg']}",
                hint="move the file away: condensa resume writes it again from the journal",
            ) from err


@cache
def _adapter() -> TypeAdapter[Outcome]:
    """Checks and converts the record; built on first use, because front ends load this module to show their help."""
    from pydantic import TypeAdapter

    return TypeAdapter(Outcome)


def read_outcome(path: Path) -> Outcome:
    """The outcome kept in a `result.json`; UsageError if the file cannot be read as one."""
    return Outcome.from_json(read_document(path), file=str(path))


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file; UsageError if it holds none."""
    try:
        document = json.loads(read_plain_text(path))
    except (OSError, ValueError, RecursionError) as err:
        raise UsageError(
            f"{path} cannot be read as a result: {err}",
            hint="move the file away: condensa resume writes it again from the journal",
        ) from err
    if not isinstance(document, dict):
        raise UsageError(
            f"{path} holds no JSON object", hint="move the file away: condensa resume writes it again from the journal"
        )
    return document


def _sayable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, dict):
        return {_sayable(key): _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
