"""`scheme: [a, b]`: several schemes on the same weights, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Code, Facts, Scheme, Target


@dataclass(frozen=True, eq=False)
class ComposedCode:
    """The codes of each scheme in order; the last one holds the values."""

    codes: tuple[Code, ...]
    value_bits: int | None
    tensors: dict[str, Tensor]

    @property
    def keep(self) -> dict[str, np.ndarray]:
        """Surviving units by family, empty where no member removes channels."""
        return {k: v for code in self.codes for k, v in getattr(code, "keep", {}).items()}

    def decode(self) -> dict[str, Tensor]:
        """The tensors after the last scheme."""
        return dict(self.tensors)

    def bits(self) -> int:
        """Structure of the first scheme, values at the width of the last."""
        structure = self.codes[0]
        if self.value_bits is not None and hasattr(structure, "bits_at"):
            return int(structure.bits_at(self.value_bits))
        return self.codes[-1].bits()

    def arrays(self) -> dict[str, Tensor]:
        """What every code stores, prefixed by its position."""
        return {f"{i}.{name}": t for i, code in enumerate(self.codes) for name, t in code.arrays().items()}

    def same_structure(self, other: object) -> bool:
        """Whether every code has the structure of its counterpart."""
        return isinstance(other, ComposedCode) and all(
            a.same_structure(b) for a, b in zip(self.codes, other.codes, strict=True)
        )


@dataclass(frozen=True)
class Compose:
    """Each scheme projects what the one before it left: Theta_n = project_n(Delta(Theta_{n-1})).

    Each projection is exact; their sequence is the composition the user asked for, not a joint minimiser. Structure
    schemes come first, precision last (else SchemeError: importance would be that of rounded weights).
    Source: Condensa's Compose, arXiv:1911.02497, section 3.
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
    )

    def __post_init__(self) -> None:
        if not self.schemes:
            raise SchemeError("compose needs at least one scheme")
        kinds = [scheme.facts.structure for scheme in self.schemes]
        if "value" in kinds[:-1]:
            raise SchemeError("quantize must come last in a composed scheme: pruning after it would undo the grid")
        if "channel" in kinds and "element" in kinds:
            raise SchemeError(
                "zeros inside the channels that survive are not available in this version", hint="drop one of the two"
            )
        if len(kinds) != len(set(kinds)):
            raise SchemeError("two schemes of a list act on the same structure; keep one of them")

    def project(self, target: Target) -> ComposedCode:
        """Project in order, each on the result of the one before."""
        codes: list[Code] = []
        for scheme in self.schemes:
            codes.append(scheme.project(target))
            target = Target(codes[-1].decode(), target.families)
        last = self.schemes[-1]
        value_bits = cast("int | None", getattr(last, "value_bits", None))
        return ComposedCode(tuple(codes), value_bits, dict(target.tensors))
