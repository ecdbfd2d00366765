"""`scheme: [a, b]`: several schemes on the same weights, in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Code, Facts, Freedom, Scheme, Target, Tensors
from condensa_core.schemes.terms import Plain, Term

# What may act on what the ones before it left: units, then ranks, then single weights, then their precision.
_ORDER: Final = ("channel", "rank", "element", "value")


@dataclass(frozen=True, eq=False)
class ComposedCode:
    """The codes of each scheme in order; each one's values are those that the next one's code stands for.

    `passed` are values of the first code that no later one compresses: what channels carry along, biases and norms.
    """

    codes: tuple[Code, ...]
    passed: Target = field(default_factory=lambda: Target({}))

    @property
    def keep(self) -> dict[str, np.ndarray]:
        """Surviving units by family, empty where no member removes channels."""
        return {k: v for code in self.codes for k, v in getattr(code, "keep", {}).items()}

    def decode(self) -> dict[str, Tensor]:
        """The innermost values, put into the structure of each code from the last to the first."""
        return self._outwards(self.codes[-1].decode(), self.passed.tensors)

    def _outwards(self, values: dict[str, Tensor], passed: Tensors) -> dict[str, Tensor]:
        for code in reversed(self.codes[1:-1]):
            values = code.rebuild(values)
        return self.codes[0].rebuild({**passed, **values}) if len(self.codes) > 1 else values

    def bits(self) -> int:
        """Structures of all, values in the form of the last; what is passed by at its own width."""
        beside = sum(
            8 * t.element_size() * int(self.passed.alive[n].sum() if n in self.passed.alive else t.numel())
            for n, t in self.passed.tensors.items()
        )
        return sum(code.structure_bits() for code in self.codes[:-1]) + self.codes[-1].bits() + beside

    def structure_bits(self) -> int:
        """Structures of all."""
        return sum(code.structure_bits() for code in self.codes)

    def arrays(self) -> dict[str, Tensor]:
        """What every code stores, prefixed by its position."""
        stored = {f"{i}.{name}": t for i, code in enumerate(self.codes) for name, t in code.arrays().items()}
        return stored | dict(self.passed.tensors)

    def same_structure(self, other: object) -> bool:
        """Whether every code has the structure of its counterpart."""
        return isinstance(other, ComposedCode) and all(
            a.same_structure(b) for a, b in zip(self.codes, other.codes, strict=True)
        )

    def values(self) -> Target:
        """What the last scheme leaves to compress, and what is passed by."""
        last = self.codes[-1].values()
        return replace(
            last,
            tensors={**last.tensors, **self.passed.tensors},
            alive={**last.alive, **self.passed.alive},
        )

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """Delta with other innermost values."""
        inner = {name: values[name] for name in self.codes[-1].values().tensors}
        passed = {name: values[name] for name in self.passed.tensors}
        return self._outwards(self.codes[-1].rebuild(inner), passed)

    def freedom(self) -> Freedom:
        """That of the last code, held wherever an earlier one holds; tensors that are stored as factors are held."""
        inner = self.codes[-1].freedom()
        labels = {}
        for name, dense in self.decode().items():
            moves = -1 if name in self.passed.tensors else 0
            default = torch.full(dense.shape, moves, dtype=torch.int32, device=dense.device)
            label = inner.labels.get(name, default)
            for code in self.codes[:-1]:
                if name in (outer := code.freedom().labels):
                    label = label.masked_fill(outer[name] == 0, 0)
            labels[name] = label
        return Freedom(labels, {name: sign for name, sign in inner.signs.items() if name in labels})

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """The pieces of the last code; products of what it leaves of the factors where a member factorises."""
        terms = self.codes[-1].terms()
        values = self.codes[-1].decode()
        for code in reversed(self.codes[:-1]):
            terms = {**_terms_with(code, values), **{n: t for n, t in terms.items() if n in code.decode()}}
            values = code.rebuild({**self.passed.tensors, **values} if code is self.codes[0] else values)
        return {**{name: (Plain(values[name]),) for name in self.passed.tensors}, **terms}


def _terms_with(code: Code, values: Tensors) -> dict[str, tuple[Term, ...]]:
    changed: Any = getattr(code, "with_values", None)
    return {} if changed is None else changed(values).terms()


@dataclass(frozen=True)
class Compose:
    """Each scheme projects what the one before it left: survivors, factors, units.

    Each projection is exact; their sequence is the composition the user asked for, not a joint minimiser. The order is
    units, ranks, single weights, precision (else SchemeError: importance would be that of rounded weights).
    Source: Condensa's Compose, arXiv:1911.02497, section 3; pruning, then a code book of the survivors: Han et al.,
    "Deep compression", arXiv:1510.00149.
    """

    schemes: tuple[Scheme, ...]

    name: ClassVar[str] = "compose"
    facts: ClassVar[Facts] = Facts(
        summary="several schemes act on the same weights, in order",
        source="Condensa, arXiv:1911.02497",
        structure="element",
        exact=False,
        shrinks_file="as its members",
        speeds_up="as its members",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        if not self.schemes:
            raise SchemeError("compose needs at least one scheme")
        for before, after in zip(self.schemes, self.schemes[1:], strict=False):
            first, second = (_ORDER.index(scheme.facts.structure) for scheme in (before, after))
            if before.facts.structure == "value":
                raise SchemeError(
                    f"{before.name} must come last in a composed scheme: {after.name} after it would undo the grid"
                )
            if second < first:
                raise SchemeError(
                    f"{after.name} must come before {before.name}: it would not keep what {before.name} left",
                    hint=f"write {after.name} first, or add them up: sum: [{after.name}, {before.name}]",
                )
            if first == second:
                raise SchemeError(
                    f"{before.name} and {after.name} act on the same structure; keep one of them",
                    hint=f"to add them up write sum: [{before.name}, {after.name}]",
                )

    def project(self, target: Target) -> ComposedCode:
        """Project in order, each on what the one before it left."""
        codes: list[Code] = []
        left, passed = target, Target({})
        for scheme in self.schemes:
            codes.append(scheme.project(left))
            left = _with_knowledge(codes[-1].values(), target)
            if scheme.facts.structure == "channel":  # biases and norms go with their channels, and nowhere else
                passed = _only(left, [name for name, tensor in left.tensors.items() if tensor.ndim < 2])
                left = _only(left, [name for name in left.tensors if name not in passed.tensors])
        return ComposedCode(tuple(codes), passed)


def _only(target: Target, names: Collection[str]) -> Target:
    return replace(
        target,
        tensors={name: target.tensors[name] for name in names},
        alive={name: mask for name, mask in target.alive.items() if name in names},
    )


def _with_knowledge(values: Target, target: Target) -> Target:
    """`values` with what is known of the tensors that still go by their names."""

    def known(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {name: entry for name, entry in mapping.items() if name in values.tensors}

    return replace(
        values,
        mu=target.mu,
        metrics=known(target.metrics),
        uses=known(target.uses),
        rank_costs=known(target.rank_costs),
        alive={**known(target.alive), **values.alive},
    )
