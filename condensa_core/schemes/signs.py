"""The code of weights that are one common magnitude times a sign."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condensa_core.schemes.contract import Freedom, Target, Tensors
from condensa_core.schemes.entries import Layout
from condensa_core.schemes.terms import Plain, Term


@dataclass(frozen=True, eq=False)
class SignCode:
    """Signs (-1, 0 or 1) of all living entries, and their magnitude."""

    magnitude: Tensor  # one number
    signs: Tensor  # of all entries of `layout` in one vector, int8
    layout: Layout
    learned: bool  # whether the magnitude is stored and may move; else it is 1
    ternary: bool  # whether signs may be 0

    def decode(self) -> dict[str, Tensor]:
        """Sign times magnitude; zero where nothing lives."""
        dense = self.layout.placed(self.signs.to(self.magnitude.dtype) * self.magnitude)
        return {name: tensor.to(self.layout.dtypes[name]) for name, tensor in dense.items()}

    def bits(self) -> int:
        """The magnitude at the width of its dtype; one bit a sign, or, of three kinds, five in a byte (3^5 < 2^8)."""
        width = 8 * self.magnitude.element_size() if self.learned else 0
        if not self.ternary:
            return width + self.signs.numel()
        return width + sum(8 * -(-count // 5) for count in self.layout.counts().values())

    def structure_bits(self) -> int:
        """All of them: no number is left to compress."""
        return self.bits()

    def arrays(self) -> dict[str, Tensor]:
        """`magnitude` where it is stored, and `NAME.signs`."""
        stored = {"magnitude": self.magnitude} if self.learned else {}
        return {**stored, **{f"{name}.signs": signs for name, signs in self.layout.placed(self.signs).items()}}

    def same_structure(self, other: object) -> bool:
        """Whether all signs are the same."""
        return isinstance(other, SignCode) and self.layout.same(other.layout) and torch.equal(self.signs, other.signs)

    def values(self) -> Target:
        """Nothing."""
        return Target({})

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """`decode()`."""
        return self.decode()

    def freedom(self) -> Freedom:
        """The magnitude moves if it was learned; signs and zeros stay."""
        signs = self.layout.placed(self.signs)
        moves = {name: sign.abs().int() * int(self.learned) for name, sign in signs.items()}
        return Freedom(moves, {name: torch.where(sign < 0, -1, 1).to(sign.dtype) for name, sign in signs.items()})

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """One plain piece: the packer finds the two or three values."""
        return {name: (Plain(dense),) for name, dense in self.decode().items()}
