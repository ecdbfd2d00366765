"""Tensors as products of two thin factors: what a low-rank projection finds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from condensa_core.schemes.contract import Freedom, Target, Tensors
from condensa_core.schemes.matrix_view import Factors
from condensa_core.schemes.terms import Plain, Term


@dataclass(frozen=True, eq=False)
class LowRankCode:
    """Every tensor of a target as two factors, or as it is where these would hold no fewer numbers."""

    ranks: dict[str, int]  # of all tensors, in the order of the target
    factors: dict[str, Factors]  # rank 0 among them
    dense: dict[str, Tensor]
    held: frozenset[str]  # dense tensors whose rank is not full
    alive: dict[str, Tensor] = field(default_factory=dict)  # masks by the names of `values()`, where not everything
    uses: dict[str, float] = field(default_factory=dict)  # by tensor, as in Target

    def decode(self) -> dict[str, Tensor]:
        """The products, multiplied in float64 and rounded once, and the dense tensors."""
        return {
            name: self.factors[name].dense() if name in self.factors else self.dense[name].clone()
            for name in self.ranks
        }

    def bits(self) -> int:
        """The numbers of `values()` at the width of their dtype; ranks are shapes and need no bits of their own."""
        return sum(
            (int(self.alive[name].sum()) if name in self.alive else tensor.numel()) * 8 * tensor.element_size()
            for name, tensor in self.arrays().items()
        )

    def structure_bits(self) -> int:
        """None."""
        return 0

    def arrays(self) -> dict[str, Tensor]:
        """`NAME.left` (m x r) and `NAME.right` (r x n), or the tensor under its own name."""
        stored = {}
        for name in self.ranks:
            if name in self.factors:
                stored[f"{name}.left"] = self.factors[name].left
                stored[f"{name}.right"] = self.factors[name].right
            else:
                stored[name] = self.dense[name]
        return stored

    def same_structure(self, other: object) -> bool:
        """Whether every tensor has the rank that it has there."""
        return isinstance(other, LowRankCode) and self.ranks == other.ranks

    def values(self) -> Target:
        """Factors and dense tensors, named as in `arrays()`; tensors of rank 0 have none."""
        tensors = {name: tensor for name, tensor in self.arrays().items() if tensor.numel()}
        uses: dict[str, float] = {}
        for name, count in self.uses.items():
            uses |= {part: count for part in (name, f"{name}.left", f"{name}.right") if part in tensors}
        return Target(tensors, alive={n: m for n, m in self.alive.items() if n in tensors}, uses=uses)

    def with_values(self, values: Tensors) -> LowRankCode:
        """The same ranks with other factors and dense tensors, where `values` has them."""
        return replace(
            self,
            factors={
                name: replace(
                    own,
                    left=values.get(f"{name}.left", own.left),
                    right=values.get(f"{name}.right", own.right),
                )
                for name, own in self.factors.items()
            },
            dense={name: values.get(name, own) for name, own in self.dense.items()},
        )

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """The tensors that other values make."""
        return self.with_values(values).decode()

    def freedom(self) -> Freedom:
        """Dense tensors of full rank move, where alive; one entry moved alone would undo a lower rank."""
        labels = {}
        for name, tensor in self.decode().items():
            free = name in self.dense and name not in self.held
            label = torch.full(tensor.shape, -1 if free else 0, dtype=torch.int32, device=tensor.device)
            labels[name] = label.masked_fill(~self.alive[name], 0) if free and name in self.alive else label
        return Freedom(labels)

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """The product of each pair of factors; the others plain, and so are zeros."""
        return {
            name: (self.factors[name].product() if name in self.factors and self.ranks[name] else Plain(tensor),)
            for name, tensor in self.decode().items()
        }
