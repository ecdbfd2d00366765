"""The recipe as frozen records, named as its YAML keys: what every other room reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from condensa_core.errors import Place, Problem
from condensa_core.platforms import DEVICES, DEVICES_OF
from condensa_core.recipe.conditions import WhenSpec
from condensa_core.recipe.document import Document, KeyPath
from condensa_core.recipe.fields import FolderName, Identifier, OneOrMany, PythonReference, Selector, Word
from condensa_core.recipe.record import Record
from condensa_core.recipe.refusals import not_available, refusal, shown
from condensa_core.recipe.schemes import STRUCTURED, PythonSpec, SchemeSpec, check_composition
from condensa_core.recipe.search import SearchSpec
from condensa_core.recipe.units import Quantity
from condensa_core.recipe.vocabulary import (
    BUILTIN_DATA,
    BUILTIN_MODELS,
    DATA_WITH_PATH,
    DEFAULT_TASK,
    ENGINE_BACKENDS,
    LATER_METRIC_KINDS,
    LATER_OBJECTIVES,
    METRIC_KINDS,
    OBJECTIVES,
    OF_ALL_DATA,
    RUNTIMES,
    SHORT_OBJECTIVES,
    TASKS,
    Better,
)


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise refusal("E103", f"expected a text, a finite number, true or false, not {shown(value)}")
    return value


# Checked before the union is: of a union, pydantic reports each member apart.
Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
Arguments = dict[str, Any]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Batch = Annotated[int, Field(ge=1, le=10**6)]
Rounds = Annotated[int, Field(ge=1, le=10**4)]  # of the L-C loop
Seed = Annotated[int, Field(ge=0, lt=2**63)]
CAPABILITY = r"(?:sm_?)?(\d{1,2})\.?(\d)"

_Role = Annotated[
    str, Word("role", ("first", "last", "depthwise", "pointwise", "downsample", "embedding", "recurrent"))
]
_Optimizer = Annotated[str, Word("optimizer", ("sgd", "adam"), ("adamw", "rmsprop", "lbfgs"))]


class KnobSpec(Record):
    """What the search may vary: a range (with a step, or on a log scale) or a list of choices."""

    range: tuple[float, float] | None = None
    step: Positive | None = None
    log: bool = False
    choices: tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _range_or_choices(self) -> KnobSpec:
        if (self.range is None) == (self.choices is None):
            raise refusal("E310", "a knob needs 'range: [low, high]' or 'choices: [..]'")
        if self.range is not None:
            low, high = self.range
            if not low < high:
                raise refusal("E311", f"a knob has an empty range [{low:g}, {high:g}]", key="range")
            if self.log and low <= 0:
                raise refusal("E311", f"a log scale needs a range above zero, not from {low:g}", key="range")
            if self.step is not None and self.step > high - low:
                raise refusal("E311", f"step {self.step:g} is wider than the range", key="step")
        if self.choices is not None:
            if len(set(self.choices)) != len(self.choices) or not self.choices:
                raise refusal("E311", "choices must be different values, at least one", key="choices")
            numbers = [choice for choice in self.choices if isinstance(choice, (int, float))]
            if len(numbers) == len(self.choices) and numbers != sorted(numbers):
                advice = f"write choices: [{', '.join(f'{number:g}' for number in sorted(numbers))}]"
                raise refusal("E311", "choices that are numbers must stand in ascending order", advice, key="choices")
            if self.log or self.step is not None:
                raise refusal("E310", "'step' and 'log' belong to a range, not to choices")
        return self


class ModelSpec(Record):
    """Which model: one of condensa's own, or a Python callable that returns a module."""

    later: ClassVar[frozenset[str]] = frozenset({"onnx", "huggingface", "timm"})
    builtin: Annotated[str, Word("builtin model", BUILTIN_MODELS)] | None = None
    python: PythonReference | None = None
    args: Arguments = Field(default_factory=dict)
    weights: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    input: dict[str, tuple[Count, ...]] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if (self.builtin is None) == (self.python is None):
            advice = f"builtin models: {', '.join(BUILTIN_MODELS)}"
            raise refusal("E102", "a model needs exactly one of 'builtin' and 'python'", advice)
        if self.sha256 is not None and self.weights is None:
            raise refusal("E102", "'sha256' belongs to 'weights'; there are none", key="sha256", on_key=True)
        return self


class SourceSpec(Record):
    """One split of the data, from a Python callable."""

    later: ClassVar[frozenset[str]] = frozenset({"path", "workers"})
    python: PythonReference
    args: Arguments = Field(default_factory=dict)
    batch: Batch | None = None
    limit: Count | None = None


class DataSpec(Record):
    """Which data: a known data set with its settings, or a source for each split."""

    builtin: Annotated[str, Word("builtin data set", tuple(BUILTIN_DATA))] | None = None
    path: str | None = None  # the folder of the files, or a text file
    size: Count | None = None  # image-folder: pixels of a side
    download: bool | None = None  # fashion-mnist: fetch missing files
    batch: Batch | None = None
    limit: Count | None = None  # samples of each split
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None  # of the training part, cut off for validation
    val_count: Count | None = None  # the same, in samples
    augment: Annotated[str, Word("augmentation", ("none", "flip", "shift", "crop-flip"))] | None = None
    level: Annotated[str, Word("level", ("byte", "char", "word"))] | None = None  # texts: what a token is
    length: Count | None = None  # texts: tokens of a sample
    vocabulary: Annotated[int, Field(ge=2, le=10**6)] | None = None  # texts: the most different characters or words
    max_bytes: Count | None = None  # python-text: how much of it
    train: SourceSpec | None = None
    val: SourceSpec | None = None
    test: SourceSpec | None = None
    calib: SourceSpec | None = None  # what metrics of weights and the reach of activations are taken from

    _SETTINGS: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys((*OF_ALL_DATA, *chain(*BUILTIN_DATA.values()))))
    _SPLITS: ClassVar[tuple[str, ...]] = ("train", "val", "test", "calib")

    @model_validator(mode="after")
    def _one_form(self) -> DataSpec:
        if self.builtin is None:
            if self.train is None and self.val is None:
                advice = f"builtin data sets: {', '.join(BUILTIN_DATA)}"
                raise refusal("E102", "data needs 'builtin', or sources for 'train' and 'val'", advice)
            for split in ("train", "val"):
                if getattr(self, split) is None:
                    advice = "'val' steers the search, 'test' is read once"
                    raise refusal("E102", f"missing '{split}' in 'data'", advice)
        takes = (*OF_ALL_DATA, *BUILTIN_DATA[self.builtin]) if self.builtin else ()
        for name in (*self._SETTINGS, *(self._SPLITS if self.builtin else ())):
            if getattr(self, name) is not None and name not in takes:
                owner = f"builtin data '{self.builtin}'" if self.builtin else "data from Python"
                advice = f"it takes: {', '.join(takes)}" if takes else "give it to the sources: train, val, test"
                raise refusal("E101", f"{owner} takes no '{name}'", advice, key=name, on_key=True)
        if self.val_fraction is not None and self.val_count is not None:
            raise refusal("E109", "give 'val_fraction' or 'val_count', not both", key="val_count", on_key=True)
        if self.builtin in DATA_WITH_PATH and self.path is None:
            what = {"image-folder": "images", "text": "text, or its only file"}.get(self.builtin, "files")
            raise refusal("E102", f"builtin data '{self.builtin}' needs 'path', the folder of the {what}")
        if self.vocabulary is not None and (self.level or "byte") == "byte" and self.builtin != "wikitext2":
            advice = "write level: char or level: word"
            raise refusal("E109", "bytes are a vocabulary of 256, which cannot be set", advice, key="vocabulary")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The settings given for a builtin data set; those left out are absent."""
        return {name: value for name in self._SETTINGS if (value := getattr(self, name)) is not None}


class TrainSpec(Record):
    """How a reference is trained; what is left out is chosen for the model."""

    epochs: Count | None = None
    lr: Positive | None = None
    batch: Batch | None = None
    optimizer: _Optimizer | None = None
    weight_decay: NotNegative | None = None
    momentum: Fraction | None = None


class ReferenceSpec(Record):
    """Where the reference comes from when no weights are given: trained once, cached by content."""

    train: TrainSpec = TrainSpec()


class MetricSpec(Record):
    """A named metric of quality."""

    later: ClassVar[frozenset[str]] = frozenset({"python", "unit", "command"})
    kind: Annotated[str, Word("metric kind", tuple(METRIC_KINDS), LATER_METRIC_KINDS)]
    better: Annotated[str, Word("direction", ("higher", "lower"))] | None = None

    @model_validator(mode="after")
    def _true_direction(self) -> MetricSpec:
        known = METRIC_KINDS[self.kind].better
        if self.better is not None and self.better != known:
            raise refusal("E403", f"'{self.kind}' is better when {known}", key="better")
        return self


def _capability(value: Any) -> str:
    found = re.fullmatch(CAPABILITY, value) if isinstance(value, str) else None
    if found is None:
        raise refusal("E103", f"a compute capability is written as sm89, not {shown(value)}")
    return f"sm{found[1]}{found[2]}"


_Capability = Annotated[
    str, BeforeValidator(_capability), WithJsonSchema({"type": "string", "pattern": f"^{CAPABILITY}$"})
]


class TargetSpec(Record):
    """Where the artifact runs and is measured.

    `arch` are the compute capabilities that a TensorRT target's engine is built for, as sm89; left out the GPU of the
    machine. `device` left out is the first of those that the backend computes on.
    """

    later: ClassVar[frozenset[str]] = frozenset({"shapes", "bench"})
    backend: Annotated[str, Word("backend", RUNTIMES)] = "onnxruntime"
    device: Annotated[str, Word("device", DEVICES, aliases=(("gpu", "cuda"),))] = "cpu"
    arch: Annotated[tuple[_Capability, ...], OneOrMany()] | None = None
    precision: Annotated[str, Word("precision", ("fp32",), ("fp16", "bf16", "fp8", "int8"))] = "fp32"
    batch: Batch = 32
    threads: Count = 1
    if_missing: Annotated[str, Word("choice", ("error", "skip"), ("proxy",))] = "error"

    @model_validator(mode="before")
    @classmethod
    def _own_device(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "device" not in value:
            backend = value.get("backend")
            devices = DEVICES_OF.get(backend, ()) if isinstance(backend, str) else ()
            return {**value, "device": devices[0]} if devices else value
        return value

    @model_validator(mode="after")
    def _possible(self) -> TargetSpec:
        devices = DEVICES_OF[self.backend]
        if self.device not in devices:
            others = [name for name, known in DEVICES_OF.items() if self.device in known]
            advice = f"write device: {devices[0]}, or one of: {', '.join(others)}"
            message = f"backend '{self.backend}' does not compute on the {self.device}"
            raise refusal("E109", message, advice, key="device")
        if self.arch is not None and self.backend not in ENGINE_BACKENDS:
            message = f"'arch' is what an engine of TensorRT is built for, and backend '{self.backend}' has none"
            raise refusal("E101", message, f"engines are of: {', '.join(ENGINE_BACKENDS)}", key="arch", on_key=True)
        twice = next((name for name in self.arch or () if (self.arch or ()).count(name) > 1), None)
        if twice is not None:
            raise refusal("E106", f"'arch' names {twice} twice", "write each compute capability once", key="arch")
        return self


_SELECTOR_SCHEMA = {"type": "string", "minLength": 1}


class KeepSpec(Record):
    """Layers that keep all their outputs and weights as learned, and why.

    Their inputs still shrink with the layers before them.
    """

    match: Selector
    why: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"match": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [_SELECTOR_SCHEMA, handler(schema)]}


class ExceptSpec(Record):
    """Layers a rule leaves out: those that fit everything given here."""

    match: Annotated[tuple[Selector, ...], OneOrMany()] | None = None
    type: Annotated[tuple[str, ...], OneOrMany()] | None = None
    role: Annotated[tuple[_Role, ...], OneOrMany()] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if value in ({}, ()):
            raise refusal("E106", "'except' names nothing")
        return {"match": value} if isinstance(value, (str, tuple)) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "anyOf": [_SELECTOR_SCHEMA, {"type": "array", "items": _SELECTOR_SCHEMA, "minItems": 1}, handler(schema)]
        }


@dataclass(frozen=True)
class Expectation:
    """How many layers (or tensors) a rule must match: `low`..`high`, both included; `high` None is no limit."""

    low: int
    high: int | None
    of: Literal["layers", "tensors"]

    def __contains__(self, count: int) -> bool:
        return self.low <= count and (self.high is None or count <= self.high)

    @classmethod
    def read(cls, value: str | int) -> Expectation:
        """From 4, `4 tensors`, `>=2`, `2..5 layers`; ValueError for anything else."""
        found = re.fullmatch(r"(>=)?(\d{1,9})(?:\.\.(\d{1,9}))?(?: (layers?|tensors?))?", str(value).strip())
        if found is None or (found.group(1) and found.group(3)):
            raise ValueError(value)
        low = int(found.group(2))
        high = None if found.group(1) else int(found.group(3) or low)
        if high is not None and high < low:
            raise ValueError(value)
        return cls(low, high, "tensors" if (found.group(4) or "").startswith("tensor") else "layers")


def _expectation(value: Any) -> str | int:
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(value)
        Expectation.read(value)
    except ValueError:
        advice = "write 4, 4 tensors, 2..5 or >=1"
        raise refusal("E103", f"'expect' must be a count, not {shown(value)}", advice) from None
    return value


class RuleSpec(Record):
    """Which layers get which scheme. A scheme list acts on the same weights, in order."""

    later: ClassVar[frozenset[str]] = frozenset({"tied"})
    match: Annotated[tuple[Selector, ...], OneOrMany()]
    type: Annotated[tuple[str, ...], OneOrMany()] | None = None
    role: Annotated[tuple[_Role, ...], OneOrMany()] | None = None
    except_: ExceptSpec | None = Field(default=None, alias="except")
    params: Annotated[tuple[str, ...], OneOrMany()] | None = None
    expect: Annotated[str | int, BeforeValidator(_expectation)] | None = None
    when: WhenSpec | None = None
    scope: Annotated[str, Word("scope", ("layer", "rule", "model"))] = "rule"
    override: bool = False
    scheme: Annotated[tuple[SchemeSpec, ...], AfterValidator(check_composition), OneOrMany()]

    @model_validator(mode="after")
    def _whole_units(self) -> RuleSpec:
        kind = next((scheme.kind for scheme in self.scheme if scheme.kind in STRUCTURED), None)
        if kind is None:
            return self
        if self.params is not None:
            message = f"'{kind}' removes whole units with all their tensors, so this rule takes no 'params'"
            raise refusal("E101", message, key="params", on_key=True)
        if self.expect is not None and Expectation.read(self.expect).of == "tensors":
            advice = "count layers: write " + re.sub("tensor", "layer", str(self.expect))
            raise refusal("E106", f"'{kind}' chooses layers, not tensors", advice, key="expect")
        return self


class MuSpec(Record):
    """The penalty of the L-C loop: mu_j = start * growth^(j-1), at most cap."""

    start: Positive
    growth: Annotated[float, Field(ge=1, le=10)] | None = None
    cap: Positive | None = None

    @model_validator(mode="after")
    def _up_to_cap(self) -> MuSpec:
        if self.cap is not None and self.cap < self.start:
            message = f"mu starts at {self.start:g}, above its cap of {self.cap:g}"
            raise refusal("E109", message, "write a cap above 'start'", key="cap")
        return self


class LStepSpec(Record):
    """One learning step; what is left out condensa chooses."""

    optimizer: _Optimizer | None = None
    lr: Positive | None = None
    lr_end: Positive | None = None
    momentum: Fraction | None = None
    weight_decay: NotNegative | None = None
    epochs: Count | None = None
    iterations: Count | None = None
    batch: Batch | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> LStepSpec:
        if self.epochs is not None and self.iterations is not None:
            raise refusal("E109", "an L step is measured in 'epochs' or 'iterations', not both", key="iterations")
        return self


class FinetuneSpec(Record):
    """Training at fixed structure after compression; what is left out condensa chooses."""

    epochs: Annotated[int, Field(ge=0, le=10**9)] | None = None
    iterations: Annotated[int, Field(ge=0, le=10**9)] | None = None
    lr: Positive | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> FinetuneSpec:
        if self.epochs is not None and self.iterations is not None:
            raise refusal("E109", "fine-tuning is measured in 'epochs' or 'iterations', not both", key="iterations")
        return self


class CompressSpec(Record):
    """How compression is learned: `lc` alternates learning and compression, `direct` projects once.

    `metric` is the norm in which projections are near: of the weights themselves (identity), or of what layers make of
    the `calib` data (diagonal, or the whole gram matrix of their inputs). Left out it is gram for `direct`, identity
    for `lc`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"distill", "bn", "to", "epochs"})
    method: Annotated[str, Word("method", ("lc", "direct"), ("rewind", "gradual", "slimming", "blockwise"))] = "lc"
    metric: Annotated[str, Word("metric", ("identity", "diagonal", "gram"), ("fisher",))] | None = None
    steps: Rounds | None = None
    mu: MuSpec | None = None
    l_step: LStepSpec | None = None
    finetune: FinetuneSpec | None = None

    @property
    def metric_used(self) -> str:
        """The metric, also where it is left out."""
        return self.metric or ("gram" if self.method == "direct" else "identity")


Bound = Literal["max_drop", "max_rise", "at_least", "at_most"]
BOUNDS: tuple[Bound, ...] = ("max_drop", "max_rise", "at_least", "at_most")


class BoundSpec(Record):
    """A bound on one figure: exactly one of max_drop, max_rise, at_least, at_most."""

    metric: str
    max_drop: Quantity | None = None
    max_rise: Quantity | None = None
    at_least: Quantity | None = None
    at_most: Quantity | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> BoundSpec:
        given = [bound for bound in BOUNDS if getattr(self, bound) is not None]
        if len(given) != 1:
            found = " and ".join(f"'{bound}'" for bound in given) or "none"
            raise refusal("E407", f"a bound is exactly one of {', '.join(BOUNDS)}; found {found}")
        return self

    @property
    def bound(self) -> Bound:
        """Which of the four bounds is given."""
        return next(bound for bound in BOUNDS if getattr(self, bound) is not None)

    @property
    def amount(self) -> Quantity:
        """The amount of the bound."""
        amount: Quantity = getattr(self, self.bound)
        return amount

    def limit(self, reference_value: float) -> float:
        """The value the metric is held against, given the reference's.

        2% of a drop is 0.02 |reference| below it, 2pp is 0.02 below it, 1.5x is 1.5 times it; bare, bytes, seconds
        and rates stand for themselves.
        """
        value, unit = self.amount.value, self.amount.unit
        if self.bound in ("max_drop", "max_rise"):
            change = value * abs(reference_value) if unit == "relative" else value
            return reference_value - change if self.bound == "max_drop" else reference_value + change
        return value * reference_value if unit == "factor" else value

    def met(self, value: float, reference_value: float) -> bool:
        """Whether `value` keeps the bound; the limit itself does, up to float rounding. NaN never does."""
        limit = self.limit(reference_value)
        slack = 1e-12 * max(1.0, abs(limit))
        if self.bound in ("max_drop", "at_least"):
            return value >= limit - slack
        return value <= limit + slack

    def __str__(self) -> str:
        return f"{self.metric} {self.bound} {self.amount}"


class ConstraintSpec(BoundSpec):
    """The bound on quality that every candidate must keep, judged on `val` against the reference."""

    later: ClassVar[frozenset[str]] = frozenset({"baseline", "on", "split"})


class GateSpec(BoundSpec):
    """A bound checked on the exported artifact: a metric on `val` or `test`, a measured figure, one of its engine."""

    on: str | None = None
    split: Annotated[str, Word("split", ("val", "test"))] | None = None

    @field_validator("metric")
    @classmethod
    def _in_full(cls, value: str) -> str:
        return SHORT_OBJECTIVES.get(value, value)


class ObjectiveSpec(Record):
    """The one number to improve, and the target it is measured on."""

    maximize: str | None = None
    minimize: str | None = None
    on: str | None = None

    @field_validator("maximize", "minimize", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "python" in value:
            raise not_available("an objective in Python")
        if isinstance(value, str):
            value = SHORT_OBJECTIVES.get(value, value)
            if value in LATER_OBJECTIVES:
                raise not_available(f"objective '{value}'", f"available: {', '.join(OBJECTIVES)}")
        return value

    @model_validator(mode="after")
    def _one_direction(self) -> ObjectiveSpec:
        if (self.maximize is None) == (self.minimize is None):
            raise refusal("E410", "an objective needs exactly one of 'maximize' and 'minimize'")
        return self

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return "minimize" if self.maximize is None else "maximize"

    @property
    def name(self) -> str:
        """throughput, latency.p50, macs, ..."""
        return self.maximize or self.minimize or ""


class OutputSpec(Record):
    """Where results go and which artifacts are written. `dir` lies in the folder that condensa is called in."""

    later: ClassVar[frozenset[str]] = frozenset({"opset", "save_trials"})
    dir: str = "runs"
    export: tuple[Annotated[str, Word("export", ("onnx", "packed", "torch", "engine"))], ...] = ("onnx", "torch")
    report: Annotated[str, Word("report", ("html", "none"))] = "html"

    @field_validator("export")
    @classmethod
    def _with_onnx(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "onnx" not in value:
            raise refusal("E106", "'export' must contain onnx: every candidate is judged as that file")
        return value

    @field_validator("dir")
    @classmethod
    def _plain_folder(cls, value: str) -> str:
        if not value or "$" in value or "\0" in value:
            advice = "write dir: runs; the recipe's name and the time are appended"
            raise refusal("E106", f"'{value}' is no folder", advice)
        if value.startswith(("/", "~")) or ".." in PurePosixPath(value).parts:
            advice = "a recipe may be anybody's: say on the command line where else runs go, with --out DIR"
            raise refusal("E106", f"'{value}' leads out of the folder that condensa is called in", advice)
        return value


def _not_empty(rules: tuple[RuleSpec, ...]) -> tuple[RuleSpec, ...]:
    if not rules:
        raise refusal("E106", "'layers' is empty", "write at least one rule: match and scheme")
    return rules


class Recipe(Record):
    """A whole recipe, checked. Two recipes are equal when their values are, wherever they were read from."""

    later: ClassVar[frozenset[str]] = frozenset({"extends", "requires"})
    condensa: Literal[1]
    name: FolderName
    description: str | None = None
    seed: Seed = 0
    vars: dict[Identifier, Scalar] = Field(default_factory=dict)
    knobs: dict[Identifier, KnobSpec] = Field(default_factory=dict)
    patterns: dict[Identifier, PythonSpec] = Field(default_factory=dict)
    model: ModelSpec
    task: Annotated[str, Word("task", tuple(TASKS), ("regression",))] = DEFAULT_TASK
    data: DataSpec
    reference: ReferenceSpec = ReferenceSpec()
    metrics: dict[str, MetricSpec] = Field(default_factory=dict)
    targets: dict[str, TargetSpec] = Field(default_factory=dict)
    keep: tuple[KeepSpec, ...] = ()
    layers: Annotated[tuple[RuleSpec, ...], AfterValidator(_not_empty)]
    compress: CompressSpec = CompressSpec()
    constraint: ConstraintSpec
    objective: ObjectiveSpec
    search: SearchSpec = SearchSpec()
    gates: tuple[GateSpec, ...] = ()
    output: OutputSpec = OutputSpec()

    _document: Document | None = PrivateAttr(default=None)
    _problems: tuple[Problem, ...] = PrivateAttr(default=())
    _directory: Path | None = PrivateAttr(default=None)
    _left_out: Mapping[int, str] = PrivateAttr(default_factory=dict)

    @field_validator("*", mode="after")
    @classmethod
    def _note_section(cls, value: Any, info: ValidationInfo) -> Any:
        """Hand each sound section to the cross-checks, which run even when other sections are wrong."""
        if info.context is not None:
            info.context["sections"][info.field_name] = value
        return value

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Warnings, in file order."""
        return self._problems

    @property
    def directory(self) -> Path:
        """The folder that relative paths in the recipe start from."""
        return self._directory or Path.cwd()

    def place(self, *key_path: str | int) -> Place | None:
        """Where a key path stands in the file, or what encloses it; None for a recipe made by hand."""
        return self._document.place(key_path) if self._document else None

    def place_of(self, path: KeyPath, *, on_key: bool = False) -> Place:
        """The same, or where its key stands; the start of a file of the recipe's name for a recipe made by hand."""
        return self._document.place(path, on_key=on_key) if self._document else Place(self.name, 1, 1)

    @property
    def rules(self) -> dict[int, RuleSpec]:
        """The rules that apply, by their position in `layers`: all of them until a platform was asked."""
        return {number: rule for number, rule in enumerate(self.layers) if number not in self._left_out}

    @property
    def left_out(self) -> Mapping[int, str]:
        """The rules that do not apply on the platform that was asked, by their position, with the reason."""
        return self._left_out

    @property
    def left_out_texts(self) -> tuple[str, ...]:
        """`line 12: fp16 is not on this machine's CPU`, for each rule that is left out."""
        return tuple(f"{self.rule_text(number)}: {reason}" for number, reason in self._left_out.items())

    def rule_text(self, number: int) -> str:
        """The rule as messages name it: by its line, or by its position where there are no lines."""
        line = self.place_of(("layers", number, "match")).line if self._document else 0
        return f"line {line}" if line else f"layers[{number}]"

    def leaving_out(self, reasons: Mapping[int, str]) -> Recipe:
        """The same recipe without the rules at these positions."""
        copy = self.model_copy()
        copy._left_out = dict(reasons)
        return copy

    def better(self, metric: str) -> Better:
        """The good direction of a metric of quality (KeyError if the recipe knows none of that name)."""
        kind = self.metrics[metric].kind if metric in self.metrics else metric
        return METRIC_KINDS[kind].better

    def placed(self, document: Document, problems: tuple[Problem, ...], directory: Path | None) -> Recipe:
        """The same recipe with its origin: places, warnings, folder."""
        copy = self.model_copy()
        copy._document, copy._problems, copy._directory = document, problems, directory
        return copy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and all(
            getattr(self, name) == getattr(other, name) for name in type(self).model_fields
        )
