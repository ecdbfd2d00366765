"""The parameters of the two layers that stand for one weight, and how its factors lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor, nn

from condensa_core.schemes import Factors
from condensa_core.schemes.matrix_view import MatrixView

Form = Literal["linear", "embedding", "convolution"]
Side = Literal["left", "right"]
SIDES: Final[tuple[Side, ...]] = ("left", "right")


def form_of(layer: nn.Module) -> Form:
    """Which form the two layers of this (splittable) layer have."""
    if isinstance(layer, nn.Embedding):
        return "embedding"
    return "linear" if isinstance(layer, nn.Linear) else "convolution"


def laid_out(side: Side, factor: Tensor, view: MatrixView, form: Form, groups: int) -> Tensor:
    """The weight of one of the two layers, or whatever else (labels, masks) has the shape of that factor.

    linear: the factor itself. embedding: the right one transposed, as the weight of a linear layer is. convolution: its
    rows or columns along the axes of the kernel that are theirs; each group of inputs has r channels between the two
    layers, and all of them the same right factor.
    """
    if form == "linear":
        return factor
    if form == "embedding":
        return factor if side == "left" else factor.T
    rows, columns = view.laid_out[: view.row_dims], view.laid_out[view.row_dims :]
    if side == "left":
        idle = len(view.shape) - 1 - view.row_dims
        left = factor.reshape(*rows, factor.shape[1]).movedim(-1, 1)
        return left.reshape(*left.shape, *(1 for _ in range(idle)))
    right = factor.reshape(factor.shape[0], columns[0], *(1 for _ in rows[1:]), *columns[1:])
    return right.repeat(groups, *(1 for _ in right.shape[1:]))


def read_back(side: Side, weight: Tensor, view: MatrixView, form: Form, groups: int) -> Tensor:
    """The factor that lies in a layer's weight, the inverse of `laid_out`; of several groups the first one's."""
    if form == "linear":
        return weight
    if form == "embedding":
        return weight if side == "left" else weight.T
    if side == "left":
        return weight.reshape(*weight.shape[: 1 + view.row_dims]).movedim(1, -1).reshape(view.rows, -1)
    return weight[: weight.shape[0] // groups].reshape(-1, view.columns)


@dataclass(frozen=True)
class ThinPair:
    """The names of the two weights, and the matrix that their product is."""

    left: str
    right: str
    view: MatrixView
    rank: int
    form: Form
    groups: int = 1

    @property
    def names(self) -> dict[Side, str]:
        """The parameters' names by side."""
        return {"left": self.left, "right": self.right}

    def laid_out(self, side: Side, factor: Tensor) -> Tensor:
        """See `laid_out`."""
        return laid_out(side, factor, self.view, self.form, self.groups)

    def factors(self, parameters: Mapping[str, Tensor]) -> Factors:
        """The factors that the two weights hold."""
        left, right = (
            read_back(side, parameters[name], self.view, self.form, self.groups) for side, name in self.names.items()
        )
        return Factors(left, right, self.view)
