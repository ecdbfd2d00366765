"""A form of a tensor: an expression, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from condensa_core.export.packing.expressions import Expression, reshaped, stored_bytes


@dataclass(frozen=True, eq=False)
class Encoding:
    """A tensor as an expression that a runtime evaluates at load; `label` says in words how it is stored.

    An exact form gives the very numbers; another one may round differently from whoever computed the tensor.
    """

    label: str
    expression: Expression
    exact: bool = True

    @cached_property
    def size_bytes(self) -> int:
        """Everything it puts into a file, nodes and tables included."""
        return stored_bytes(self.expression)


def laid_out(flat: Expression, shape: tuple[int, ...]) -> Expression:
    """A one-dimensional expression in the shape of a tensor."""
    return flat if len(shape) == 1 else reshaped(flat, *shape)
