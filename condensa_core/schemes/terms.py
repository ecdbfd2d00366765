"""What a compressed tensor is made of, for whoever writes it into a file: a sum of pieces, each small by itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Product:
    """`(left @ right)`, (m x r) times (r x n), laid out as `shape`, whose axes are then put in the order `axes`."""

    left: Tensor
    right: Tensor
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    def dense(self) -> Tensor:
        """The tensor it stands for."""
        return (self.left @ self.right).reshape(self.shape).permute(self.axes)


@dataclass(frozen=True, eq=False)
class Scaled:
    """`base * scale + shift`; `base` has few distinct values, `scale` and `shift` broadcast to it."""

    base: Tensor
    scale: Tensor
    shift: Tensor | None = None

    def dense(self) -> Tensor:
        """The tensor it stands for."""
        dense = self.base.to(self.scale.dtype) * self.scale
        return dense if self.shift is None else dense + self.shift


@dataclass(frozen=True, eq=False)
class Plain:
    """A tensor as it is; whoever stores it looks for zeros and repeated values by itself."""

    values: Tensor

    def dense(self) -> Tensor:
        """The tensor it stands for."""
        return self.values


Term = Plain | Product | Scaled
