"""The code of everything that sets single weights to zero: which survive, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from condensa_core.schemes.contract import Freedom, Target, Tensors
from condensa_core.schemes.positions import Positions, Scattered
from condensa_core.schemes.terms import Plain, Term


@dataclass(frozen=True, eq=False)
class SparseCode:
    """Which entries of each tensor survive, and their values."""

    masks: dict[str, Tensor]
    survivors: dict[str, Tensor]  # in row-major order of the mask
    # What was there to choose from, by tensor; default: every entry.
    alive: Mapping[str, Tensor] = field(default_factory=dict)
    # How the masks are stored, by tensor; default: as anything scattered is.
    positions: Mapping[str, Positions] = field(default_factory=dict)

    def decode(self) -> dict[str, Tensor]:
        """Dense tensors with zeros at the removed positions."""
        dense = {}
        for name, mask in self.masks.items():
            dense[name] = self.survivors[name].new_zeros(mask.shape)
            dense[name][mask] = self.survivors[name]
        return dense

    def bits(self) -> int:
        """Survivors at the width of their dtype, and their positions."""
        return self.structure_bits() + sum(8 * t.element_size() * t.numel() for t in self.survivors.values())

    def structure_bits(self) -> int:
        """The positions of the survivors among what was alive."""
        return sum(
            self.positions.get(name, Scattered()).bits(mask, self.alive.get(name)) for name, mask in self.masks.items()
        )

    def arrays(self) -> dict[str, Tensor]:
        """`NAME.mask` (boolean) and `NAME.values`."""
        stored: dict[str, Tensor] = {}
        for name in self.masks:
            stored[f"{name}.mask"] = self.masks[name]
            stored[f"{name}.values"] = self.survivors[name]
        return stored

    def same_structure(self, other: object) -> bool:
        """Whether exactly the same positions survive."""
        return (
            isinstance(other, SparseCode)
            and self.masks.keys() == other.masks.keys()
            and all(torch.equal(mask, other.masks[name]) for name, mask in self.masks.items())
        )

    def values(self) -> Target:
        """The dense tensors, of which only the survivors are alive."""
        return Target(self.decode(), alive=self.masks)

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """`values` where entries survive, zero elsewhere."""
        return {name: values[name].masked_fill(~mask, 0) for name, mask in self.masks.items()}

    def freedom(self) -> Freedom:
        """Survivors move on their own, the others stay zero."""
        return Freedom({name: -mask.int() for name, mask in self.masks.items()})

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """One plain piece: the packer finds the zeros."""
        return {name: (Plain(dense),) for name, dense in self.decode().items()}
