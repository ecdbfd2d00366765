"""The settings each kind of scheme takes, and which kinds and settings are still to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import model_validator

from condensa_core.recipe.expressions import Expression, Ref
from condensa_core.recipe.fields import Align, Pattern, Sparsity, Word
from condensa_core.recipe.record import Record
from condensa_core.recipe.refusals import refusal, shown

LATER_CRITERIA: Final = ("taylor", "snip", "grasp", "synflow", "random", "gradient", "bn_scale", "hessian", "fisher")

_UnitCriterion = Annotated[
    str, Word("criterion", ("l2", "l1", "max", "mean"), (*LATER_CRITERIA, "magnitude"), code="E223")
]
_WeightCriterion = Annotated[str, Word("criterion", ("magnitude",), (*LATER_CRITERIA, "l1", "l2"), code="E223")]
_Norm = Annotated[str, Word("norm", ("scaled", "none"))]
_Form = Annotated[str, Word("form", ("constraint",), ("penalty",))]
_Dtype = Annotated[
    str,
    Word("dtype", ("float16",), ("int8", "uint8", "int4", "int2", "fp8", "float8", "bfloat16"), (("fp16", "float16"),)),
]


class Settings(Record):
    """What all settings share: those in `fixed` have one value in this version, so no scheme takes them."""

    fixed: ClassVar[frozenset[str]] = frozenset()

    def chosen(self) -> dict[str, Any]:
        """The settings a scheme is built with; knobs still stand as references."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in self.fixed}


class ChannelSettings(Settings):
    """filter, neuron, structure: `sparsity` is the fraction of coupled units removed; None is the implied knob."""

    later: ClassVar[frozenset[str]] = frozenset({"remove", "form"})
    sparsity: Sparsity | None = None
    align: Align = 1
    criterion: _UnitCriterion = "l2"
    norm: _Norm = "scaled"


class PruneSettings(Settings):
    """prune: `sparsity` is the fraction of weights set to zero; None is the implied knob."""

    later: ClassVar[frozenset[str]] = frozenset({"norm", "cost", "alpha", "kappa"})
    fixed: ClassVar[frozenset[str]] = frozenset({"pattern", "form"})
    sparsity: Sparsity | None = None
    pattern: Pattern = "unstructured"
    criterion: _WeightCriterion = "magnitude"
    form: _Form = "constraint"


class QuantizeSettings(Settings):
    """quantize: the precision weights are stored in."""

    later: ClassVar[frozenset[str]] = frozenset({"weights", "activations", "observer", "granularity", "symmetric"})
    dtype: _Dtype


class SchemeSpec(Record):
    """One scheme of a rule, written as one key with its settings: `filter: {sparsity: 0.5}`."""

    later: ClassVar[frozenset[str]] = frozenset(
        {"block", "codebook", "binary", "ternary", "lowrank", "sum", "hash", "tt", "head"}
    )
    filter: ChannelSettings | None = None
    neuron: ChannelSettings | None = None
    structure: ChannelSettings | None = None
    prune: PruneSettings | None = None
    quantize: QuantizeSettings | None = None

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

    @property
    def kind(self) -> str:
        """filter, neuron, structure, prune or quantize."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def settings(self) -> dict[str, Any]:
        """What the scheme is built with; a knob stands as `Ref` or `Expression`."""
        chosen: Settings = getattr(self, self.kind)
        return chosen.chosen()

    @property
    def knobs(self) -> frozenset[str]:
        """Names of the knobs its settings use."""
        used = [value.names for value in self.settings.values() if isinstance(value, (Ref, Expression))]
        return frozenset().union(*used)


# Those that remove whole units; the others change tensors one by one.
STRUCTURED: Final = ("filter", "neuron", "structure")

# Whole units go first, then single weights, then their precision.
ORDER: Final[Mapping[str, int]] = {"filter": 0, "neuron": 0, "structure": 0, "prune": 1, "quantize": 2}


def check_composition(schemes: tuple[SchemeSpec, ...]) -> tuple[SchemeSpec, ...]:
    """The schemes of one rule, refused where their order or company makes no sense (E230, E231)."""
    for position in range(1, len(schemes)):
        before, kind = schemes[position - 1].kind, schemes[position].kind
        if kind == before:
            raise refusal("E231", f"'{kind}' is given twice for the same weights", key=str(position))
        if before == "quantize":
            message = "quantize must come last in a composed scheme: pruning after it would undo the grid"
            raise refusal("E230", message, key=f"{position - 1}.quantize", on_key=True)
        if ORDER[kind] < ORDER[before]:
            message = f"'{kind}' must come before '{before}': it removes what '{before}' would have chosen from"
            raise refusal("E230", message, key=f"{position}.{kind}", on_key=True)
        if ORDER[kind] == ORDER[before]:
            message = f"'{before}' and '{kind}' cannot be combined on the same weights"
            raise refusal("E231", message, "'structure' is filters and neurons together", key=str(position))
    return schemes
