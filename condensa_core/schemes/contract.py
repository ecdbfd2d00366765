"""What every scheme promises; `tests/schemes/test_contract.py` runs these promises over the catalogue.

A scheme answers: in what small form Theta is a weight kept? Its projection is the C step of the L-C algorithm,

    Theta = argmin_Theta ||target - Delta(Theta)||_M^2,

exact wherever an exact algorithm exists, on the target's device, without touching the target. It works in the target's
dtype, sums in float64.
Source: Carreira-Perpinan, "Model compression as constrained optimization, with application to neural nets. Part I",
arXiv:1707.01209, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from condensa_core.graph.channels import Family
from condensa_core.schemes.metric import Metric
from condensa_core.schemes.terms import Term

Tensors = Mapping[str, Tensor]  # parameter name (as in `named_parameters`) -> tensor


@dataclass(frozen=True, eq=False)
class Target:
    """What a scheme projects: the named tensors jointly (one threshold, one code book, one budget over all of them).

    All mappings go by the names of `tensors`; a name that is missing has the default.
    """

    tensors: Tensors
    # Coupled channels whose producing rows are among the tensors. Only structured schemes use them, and then `tensors`
    # also holds what travels with a channel (biases, norm weights).
    families: tuple[Family, ...] = ()
    # In what norm the error is small; default: every entry alike.
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    # Penalty parameter of the C step, for schemes that pay for what they keep: min cost(Theta) + mu/2 ||w - Delta||^2.
    # None outside the L-C algorithm; penalty forms refuse that (SchemeError).
    mu: float | None = None
    # Boolean masks of what is to be projected; elsewhere the tensor is zero, stays so and costs nothing: an earlier
    # scheme of a composition removed it. Default: everything.
    alive: Mapping[str, Tensor] = field(default_factory=dict)
    # Multiply-accumulates of each weight for one sample (output positions); default: 1.
    uses: Mapping[str, float] = field(default_factory=dict)
    # Measured cost of each rank r = 0, 1, ..., the dense tensor last; for `lowrank: {select: latency}` alone.
    rank_costs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Freedom:
    """What may still move once the structure of a code is fixed, for fine-tuning.

    `labels` (int32, by tensor name): -1 moves on its own, 0 stays as it is, equal j > 0 share one number (over all
    tensors of the code). `signs` (+1 or -1, where missing +1): the entry is sign * number.
    """

    labels: dict[str, Tensor]
    signs: dict[str, Tensor] = field(default_factory=dict)


class Code(Protocol):
    """Theta: the small form of a target."""

    def decode(self) -> dict[str, Tensor]:
        """Delta(Theta): dense tensors of the target's names, shapes, dtype and device; new memory."""

    def bits(self) -> int:
        """Stored size in bits, indices and code books included: `structure_bits()` and those of the values."""

    def structure_bits(self) -> int:
        """Bits besides the free numbers of `values()`: masks, indices, assignments."""

    def arrays(self) -> dict[str, Tensor]:
        """What is stored, by name; together with the scheme's settings and the shapes it determines `decode()`."""

    def same_structure(self, other: Code) -> bool:
        """Whether masks, assignments or ranks are those of `other`: values may differ (the L-C loop has settled)."""

    def values(self) -> Target:
        """The numbers that a next scheme of a composition may compress: survivors (with `alive`), factors.

        Empty `tensors` where nothing is left to compress, as after a quantizer.
        """

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """Delta with `values`, named as in `values().tensors`, in the place of the code's own; new memory."""

    def freedom(self) -> Freedom:
        """What may move at fixed structure, by the names of `decode()`."""

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """`decode()` as sums of pieces for the packed file."""


@dataclass(frozen=True)
class Facts:
    """What a scheme is and does, for refusing bad combinations and for telling the truth in reports."""

    summary: str
    source: str
    # Whole units, the rank of matrices, single weights, or their precision.
    structure: Literal["channel", "rank", "element", "value"]
    exact: bool  # whether `project` is a global minimiser
    shrinks_file: str  # one sentence: effect on bytes of model.onnx
    speeds_up: str  # one sentence: effect on runtimes here
    metrics: frozenset[Literal["diagonal", "gram"]] = frozenset()  # metrics it heeds besides the identity


class Scheme(Protocol):
    """A compression operator with its settings."""

    name: ClassVar[str]
    facts: ClassVar[Facts]

    def project(self, target: Target) -> Code:
        """The C step. Deterministic: ties go to the earlier position."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some parameters of a model (as in `named_parameters`) and the scheme that compresses them jointly."""

    names: tuple[str, ...]
    scheme: Scheme
    families: tuple[Family, ...] = ()
    uses: Mapping[str, float] = field(default_factory=dict)  # as in Target
    rank_costs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # as in Target
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # as in Target

    def target(self, weights: Tensors, mu: float | None) -> Target:
        """These weights (all of the model, or at least the part's) as what the scheme projects."""
        return Target(
            {name: weights[name] for name in self.names},
            self.families,
            metrics=self.metrics,
            mu=mu,
            uses=self.uses,
            rank_costs=self.rank_costs,
        )
