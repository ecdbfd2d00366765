"""The settings each kind of scheme takes, which kinds may meet on the same weights, and what is still to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Discriminator, Field, Tag, model_validator

from condensa_core.recipe.expressions import Ref, references_in
from condensa_core.recipe.fields import (
    ALIGN,
    ALPHA,
    BLOCK_SHAPE,
    BOOK_SIZE,
    BUDGET,
    ENERGY,
    GROUP,
    KAPPA,
    RANK,
    SPARSITY,
    Pattern,
    PythonReference,
    Setting,
    Word,
)
from condensa_core.recipe.record import Record
from condensa_core.recipe.refusals import refusal, shown

LATER_CRITERIA: Final = ("taylor", "snip", "grasp", "synflow", "random", "gradient", "bn_scale", "hessian", "fisher")

_UnitCriterion = Annotated[
    str, Word("criterion", ("l2", "l1", "max", "mean"), (*LATER_CRITERIA, "magnitude"), code="E223")
]
_WeightCriterion = Annotated[str, Word("criterion", ("magnitude",), (*LATER_CRITERIA, "l1", "l2"), code="E223")]
_BLOCK_CRITERIA: Final = ("l2", "scaled_l2", "l1", "max", "min", "mean", "sum")
_Norm = Annotated[str, Word("norm", ("scaled", "none"))]
_Form = Annotated[str, Word("form", ("constraint", "penalty"))]
LEFT_ALONE: Final = "float32"  # the dtype of weights that a knob leaves as they are
FLOATING: Final = (LEFT_ALONE, "float16", "bfloat16")
_DTYPES: Final = (*FLOATING, *(f"{sign}int{bits}" for bits in range(8, 1, -1) for sign in ("", "u")))
_DTYPE_WORD: Final = Word(
    "dtype",
    _DTYPES,
    ("fp8", "float8", "int1", "int16"),
    (("fp32", LEFT_ALONE), ("fp16", "float16"), ("bf16", "bfloat16")),
)
DTYPE: Final = Setting("dtype", _DTYPE_WORD.read, {"type": "string", "enum": [*_DTYPES, "fp32", "fp16", "bf16"]})

_OBSERVER = Word("observer", ("max", "percentile", "mse", "entropy"), aliases=(("kl", "entropy"),))
DEFAULT_OBSERVER: Final = "mse"


class PythonSpec(Record):
    """An object of the user's, as `python: file.py:NAME`. With `args` it is called; what it returns is used."""

    python: PythonReference
    args: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """By what the object is known once it is loaded."""
        return f"{self.python} {self.args}"


WORD_TAG: Final = "[word]"
PYTHON_TAG: Final = "[python]"
# Decides between a word and a PythonSpec before either is validated: otherwise each would complain for itself.
WORD_OR_PYTHON: Final = Discriminator(
    lambda value: PYTHON_TAG if isinstance(value, (Mapping, PythonSpec)) else WORD_TAG
)


class Settings(Record):
    """What the settings of all kinds share."""

    def chosen(self) -> dict[str, Any]:
        """The settings a scheme is built with; knobs still stand as references."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def implies_knob(self) -> bool:
        """Whether its strength is left out, and so becomes the knob `sparsity`."""
        return False


class ChannelSettings(Settings):
    """filter, neuron, structure: `sparsity` is the fraction of coupled units removed; left out a knob."""

    later: ClassVar[frozenset[str]] = frozenset({"remove", "form"})
    sparsity: Annotated[Any, SPARSITY] | None = None
    align: Annotated[Any, ALIGN] = 1
    criterion: _UnitCriterion = "l2"
    norm: _Norm = "scaled"

    @property
    def implies_knob(self) -> bool:
        return self.sparsity is None


class PruneSettings(Settings):
    """prune: single weights become zero.

    Constraint: `sparsity` (the fraction set to zero; left out a knob) or `kappa` (how many stay, or with norm l1
    the sum of magnitudes that stays). Penalty: `alpha`, what a weight costs.
    """

    later: ClassVar[frozenset[str]] = frozenset({"cost"})
    sparsity: Annotated[Any, SPARSITY] | None = None
    kappa: Annotated[Any, KAPPA] | None = None
    alpha: Annotated[Any, ALPHA] | None = None
    pattern: Pattern = "unstructured"
    criterion: _WeightCriterion = "magnitude"
    norm: Annotated[str, Word("norm", ("l0", "l1"), code="E107")] = "l0"
    form: _Form = "constraint"

    @property
    def implies_knob(self) -> bool:
        needs_sparsity = self.pattern != "unstructured" and ":" in self.pattern
        return (
            self.form == "constraint"
            and self.norm == "l0"
            and not needs_sparsity
            and (self.sparsity is None and self.kappa is None)
        )

    @model_validator(mode="after")
    def _one_strength(self) -> PruneSettings:
        given = [name for name in ("sparsity", "kappa", "alpha") if getattr(self, name) is not None]
        nm = ":" in self.pattern
        allowed = ("alpha",) if self.form == "penalty" else ("kappa",) if self.norm == "l1" else ("sparsity", "kappa")
        if nm:
            if given:
                message = f"pattern {self.pattern} says how many weights stay, so it takes no '{given[0]}'"
                raise refusal("E109", message, key=given[0], on_key=True)
            if (self.form, self.norm) != ("constraint", "l0"):
                raise refusal("E109", f"pattern {self.pattern} is an l0 constraint", key="pattern")
            return self
        if self.norm == "l1" and self.pattern != "unstructured":
            message = f"norm l1 shrinks single weights, and pattern '{self.pattern}' takes them in groups"
            raise refusal("E109", message, "write norm: l0", key="norm")
        wrong = [name for name in given if name not in allowed]
        if wrong:
            what = f"the {self.norm} {self.form}"
            raise refusal("E109", f"{what} takes {' or '.join(allowed)}, not '{wrong[0]}'", key=wrong[0], on_key=True)
        if len(given) > 1:
            raise refusal("E109", "give 'sparsity' or 'kappa', not both", key=given[1], on_key=True)
        if not given and allowed != ("sparsity", "kappa"):
            raise refusal("E102", f"the {self.norm} {self.form} needs '{allowed[0]}'")
        if self.norm == "l0" and isinstance(self.kappa, float) and not self.kappa.is_integer():
            message = f"kappa {self.kappa:g} is no whole number, and with norm l0 it counts the weights that stay"
            fraction = [f"to keep {self.kappa:g} of them write sparsity: {1 - self.kappa:g}"] if self.kappa < 1 else []
            raise refusal("E222", message, *fraction, key="kappa")
        return self


_BlockCriterion = Annotated[
    Annotated[str, Word("criterion", _BLOCK_CRITERIA, LATER_CRITERIA, code="E223"), Tag(WORD_TAG)]
    | Annotated[PythonSpec, Tag(PYTHON_TAG)],
    WORD_OR_PYTHON,
]


class BlockSettings(Settings):
    """block: whole blocks of `shape` become zero; `sparsity` is the fraction of blocks, left out a knob."""

    sparsity: Annotated[Any, SPARSITY] | None = None
    shape: Annotated[tuple[Any, ...], BLOCK_SHAPE]
    criterion: _BlockCriterion = "l2"
    align: Annotated[Any, ALIGN] = 1

    @property
    def implies_knob(self) -> bool:
        return self.sparsity is None


class QuantizeSettings(Settings):
    """quantize: the precision weights are stored in.

    With `activations` the layers of these weights compute in integers: what they read is rounded too, on grids whose
    reach the `observer` chooses from calibration data. Where a knob chooses the dtype, float32 leaves the weights as
    they are, and what belongs to integers (activations, granularity, group, symmetric, range) acts where it chooses
    integers.
    """

    later: ClassVar[frozenset[str]] = frozenset({"weights"})
    dtype: Annotated[Any, DTYPE]
    granularity: Annotated[str, Word("granularity", ("tensor", "channel", "group"))] = "tensor"
    group: Annotated[Any, GROUP] | None = None
    symmetric: bool = True
    range: Annotated[str, Word("range", ("max", "percentile", "mse"))] = "max"
    activations: Annotated[str, Word("activations", ("int8",), ("uint8", "int4", "float16", "fp8"))] | None = None
    observer: Annotated[str, _OBSERVER] | None = None

    @model_validator(mode="before")
    @classmethod
    def _observed(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("activations") is not None and value.get("observer") is None:
            return {**value, "observer": DEFAULT_OBSERVER}
        return value

    @model_validator(mode="after")
    def _fits(self) -> QuantizeSettings:
        if (self.granularity == "group") != (self.group is not None):
            raise refusal("E109", "'group' is the number of weights that share a scale under 'granularity: group'")
        if self.dtype == LEFT_ALONE:
            message = f"{LEFT_ALONE} leaves the weights as they are, so this scheme would do nothing"
            raise refusal("E109", message, "leave it out, or let a knob choose the dtype", key="dtype")
        if self.activations is None:
            if self.observer is not None:
                message = "'observer' chooses the reach of activations, which are not rounded here"
                raise refusal("E109", message, "add activations: int8", key="observer", on_key=True)
            if self.dtype in FLOATING and (key := self.of_integers):
                message = f"{self.dtype} has no scale, and '{key}' is about scales"
                raise refusal("E109", message, "leave it out, or write dtype: int8", key=key, on_key=True)
            return self
        if isinstance(self.dtype, str) and not self.dtype.startswith("int"):
            message = f"integer kernels take weights of intN, not {self.dtype}"
            raise refusal("E109", message, "write dtype: int8, or leave 'activations' out", key="dtype")
        if self.granularity == "group":
            message = "integer kernels take one scale an output or a tensor, not one a group of weights"
            raise refusal("E109", message, "write granularity: channel", key="granularity")
        if not self.symmetric:
            message = "integer kernels take weights around zero: activations in integers need symmetric weights"
            raise refusal("E109", message, "leave 'symmetric' out", key="symmetric")
        return self

    @property
    def of_integers(self) -> str | None:
        """The first setting here that only integers have, besides activations."""
        usual = {"granularity": "tensor", "symmetric": True, "range": "max"}
        return next((name for name, value in usual.items() if getattr(self, name) != value), None)

    def chosen(self) -> dict[str, Any]:
        """What weights are rounded with: activations are not the scheme's, they are rounded when files are made."""
        return {n: v for n, v in super().chosen().items() if n not in ("activations", "observer")}


class CodebookSettings(Settings):
    """codebook: `size` values are shared by all weights; with `zero` one of them is zero."""

    size: Annotated[Any, BOOK_SIZE]
    zero: bool = False

    @model_validator(mode="after")
    def _more_than_zero(self) -> CodebookSettings:
        if self.zero and self.size == 1:
            message = "a book of one number that is zero leaves no weights"
            raise refusal("E109", message, "write size: 2 or more", key="size")
        return self


class BinarySettings(Settings):
    """binary: -c and c, with `scale: false` -1 and 1."""

    scale: bool = True


class TernarySettings(Settings):
    """ternary: -c, 0 and c."""


class LowrankSettings(Settings):
    """lowrank: a matrix is the product of two thin ones, of given `rank`, of given `energy` (the fraction of squared
    singular values kept), or of the ranks that `select` finds: within a `budget` (the fraction of the dense cost), or
    paying `alpha` for each unit of it. Units are multiplications (flops), numbers (storage) or seconds (latency, which
    is measured on the target of the objective before the first trial)."""

    rank: Annotated[Any, RANK] | None = None
    energy: Annotated[Any, ENERGY] | None = None
    select: Annotated[str, Word("select", ("flops", "storage", "latency"))] | None = None
    alpha: Annotated[Any, ALPHA] | None = None
    budget: Annotated[Any, BUDGET] | None = None
    convolution: Annotated[str, Word("convolution", ("output", "kernel"))] = "output"

    @model_validator(mode="after")
    def _one_choice(self) -> LowrankSettings:
        given = [name for name in ("rank", "energy", "select") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"'{name}'" for name in given) or "none"
            raise refusal("E109", f"lowrank takes exactly one of 'rank', 'energy' and 'select'; found {found}")
        strengths = [name for name in ("alpha", "budget") if getattr(self, name) is not None]
        if self.select is None and strengths:
            message = f"'{strengths[0]}' belongs to 'select', which is not given"
            raise refusal("E109", message, key=strengths[0], on_key=True)
        if self.select is not None and len(strengths) != 1:
            raise refusal("E109", "'select' takes exactly one of 'budget' and 'alpha'", key="select", on_key=True)
        return self


class SchemeSpec(Record):
    """One scheme of a rule, written as one key with its settings: `filter: {sparsity: 0.5}`."""

    later: ClassVar[frozenset[str]] = frozenset({"hash", "tt", "head"})
    filter: ChannelSettings | None = None
    neuron: ChannelSettings | None = None
    structure: ChannelSettings | None = None
    lowrank: LowrankSettings | None = None
    prune: PruneSettings | None = None
    block: BlockSettings | None = None
    quantize: QuantizeSettings | None = None
    codebook: CodebookSettings | None = None
    binary: BinarySettings | None = None
    ternary: TernarySettings | None = None
    sum: tuple[SchemeSpec, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_key(cls, value: Any) -> Any:
        if isinstance(value, SchemeSpec):
            return value
        if not isinstance(value, Mapping) or len(value) != 1:
            found = f"{len(value)} keys" if isinstance(value, Mapping) else shown(value)
            advice = ("to apply several to the same weights, write a list",) if isinstance(value, Mapping) else ()
            message = f"a scheme is one key with its settings, such as 'filter: {{sparsity: 0.5}}', not {found}"
            raise refusal("E206", message, *advice)
        return {kind: {} if settings is None else settings for kind, settings in value.items()}

    @model_validator(mode="after")
    def _summands(self) -> SchemeSpec:
        if self.sum is None:
            return self
        if len(self.sum) < 2:
            raise refusal("E231", "a sum needs at least two schemes", key="sum")
        for position, scheme in enumerate(self.sum):
            if scheme.kind in STRUCTURED or scheme.kind == "sum":
                message = f"'{scheme.kind}' cannot be a summand"
                what = "what it removes, another would put back" if scheme.kind in STRUCTURED else "write one flat list"
                raise refusal("E231", message, what, key=f"sum.{position}")
            if scheme.observer is not None:
                message = "a sum is on no grid of integers, so its layers cannot compute in them"
                key = f"sum.{position}.quantize.activations"
                raise refusal("E231", message, "leave 'activations' out", key=key, on_key=True)
        return self

    @property
    def kind(self) -> str:
        """filter, neuron, structure, lowrank, prune, block, quantize, codebook, binary, ternary or sum."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def settings(self) -> dict[str, Any]:
        """What the scheme is built with; a knob stands as `Ref` or `Expression`. Those of a sum stand in `leaves`."""
        chosen = getattr(self, self.kind)
        return chosen.chosen() if isinstance(chosen, Settings) else {}

    def leaves(self) -> Iterator[tuple[tuple[str | int, ...], SchemeSpec]]:
        """The schemes with settings of their own, itself or its summands, and the key paths of these settings."""
        if self.sum is None:
            yield (self.kind,), self
            return
        for position, scheme in enumerate(self.sum):
            for path, leaf in scheme.leaves():
                yield ("sum", position, *path), leaf

    @property
    def observer(self) -> str | None:
        """The rule for the reach of activations, where the layers of these weights compute in integers; else None."""
        return None if self.quantize is None else self.quantize.observer

    @property
    def heeds_metric(self) -> bool:
        """Whether a scheme without summands finds other weights near under another metric; `compress.metric` says."""
        rounds = self.quantize is not None and self.quantize.dtype in FLOATING
        return not (self.kind in STRUCTURED or rounds or (self.binary is not None and not self.binary.scale))

    @property
    def projects_apart(self) -> bool:
        """Whether it gives each tensor what it would give that tensor alone."""
        if self.lowrank is not None:
            return self.lowrank.select is None
        if self.prune is not None:
            return ":" in self.prune.pattern
        return self.quantize is not None or (self.binary is not None and not self.binary.scale)

    @property
    def knobs(self) -> frozenset[str]:
        """Names of the knobs its settings use."""
        values = [value for _, leaf in self.leaves() for value in leaf.settings.values()]
        return frozenset().union(*(used.names for value in values for _, used in references_in(value)))

    def with_implied_knob(self, knob: Ref) -> SchemeSpec:
        """The same with `knob` where a sparsity is left out."""
        if self.sum is not None:
            return self.model_copy(update={"sum": tuple(scheme.with_implied_knob(knob) for scheme in self.sum)})
        settings = getattr(self, self.kind)
        if not settings.implies_knob:
            return self
        return self.model_copy(update={self.kind: settings.model_copy(update={"sparsity": knob})})


# Those that remove whole units; the others change tensors one by one.
STRUCTURED: Final = ("filter", "neuron", "structure")

# Whole units go first, then ranks, then single weights, then what stays is stored in few bits.
ORDER: Final[Mapping[str, int]] = {
    "filter": 0,
    "neuron": 0,
    "structure": 0,
    "lowrank": 1,
    "prune": 2,
    "block": 2,
    "quantize": 3,
    "codebook": 3,
    "binary": 3,
    "ternary": 3,
    "sum": 3,
}

# Settings of which less means a smaller model; of all other numbers more does.
LESS_IS_SMALLER: Final = frozenset({"kappa", "size", "rank", "energy", "budget"})
# bfloat16 has as many bits as float16, and keeps fewer of a weight.
_DTYPE_BITS: Final[Mapping[str, float]] = {LEFT_ALONE: 32, "float16": 16, "bfloat16": 15.5}


def strength_of(setting: str, value: float | str) -> float:
    """A number that grows with how much a value of this setting compresses; only its order means anything.

    Of a dtype minus its bits; of other words 0: nothing is known of their order.
    """
    if isinstance(value, str):
        word = dict(_DTYPE_WORD.aliases).get(value, value)
        if setting != "dtype" or word not in _DTYPES:
            return 0.0
        return -_DTYPE_BITS.get(word, float("".join(filter(str.isdigit, word)) or 0))
    return -float(value) if setting in LESS_IS_SMALLER else float(value)


def check_setting(name: str) -> Callable[[Any], Any]:
    """The check of a setting that a knob may take the place of; of a list that of each element."""
    return _CHECKS[name]


_SETTINGS: Final = (SPARSITY, ALIGN, KAPPA, ALPHA, GROUP, BOOK_SIZE, RANK, ENERGY, BUDGET, DTYPE, BLOCK_SHAPE)
_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {setting.name: setting.check for setting in _SETTINGS}


def check_composition(schemes: tuple[SchemeSpec, ...]) -> tuple[SchemeSpec, ...]:
    """The schemes of one rule, refused where their order or company makes no sense (E230, E231)."""
    for position in range(1, len(schemes)):
        before, kind = schemes[position - 1].kind, schemes[position].kind
        if kind == before:
            raise refusal("E231", f"'{kind}' is given twice for the same weights", key=str(position))
        if ORDER[before] == 3:
            message = f"{before} must come last in a composed scheme: {kind} after it would undo the grid"
            advice = f"to add them up write sum: [{before}, {kind}]"
            sums = ORDER[kind] > 0 and "sum" not in (before, kind)
            raise refusal("E230", message, *([advice] if sums else []), key=f"{position - 1}.{before}", on_key=True)
        if ORDER[kind] < ORDER[before]:
            message = f"'{kind}' must come before '{before}': it removes what '{before}' would have chosen from"
            raise refusal("E230", message, key=f"{position}.{kind}", on_key=True)
        if ORDER[kind] == ORDER[before]:
            message = f"'{before}' and '{kind}' cannot be combined on the same weights"
            advice = "'structure' is filters and neurons together" if ORDER[kind] == 0 else "keep one of the two"
            raise refusal("E231", message, advice, key=str(position))
    return schemes
