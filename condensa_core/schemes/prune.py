"""`prune`: weights set to zero one by one, the largest magnitudes kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.counting import kept_of, largest


@dataclass(frozen=True, eq=False)
class SparseCode:
    """Positions and values of the survivors of each tensor."""

    masks: dict[str, Tensor]
    values: dict[str, Tensor]  # in row-major order of the mask

    def decode(self) -> dict[str, Tensor]:
        """Dense tensors with zeros at the removed positions."""
        dense = {}
        for name, mask in self.masks.items():
            values = self.values[name]
            dense[name] = torch.zeros(mask.shape, dtype=values.dtype, device=values.device).masked_scatter(mask, values)
        return dense

    def bits(self) -> int:
        """Values at their own width, plus the cheaper of a bitmap and fixed-width indices for each tensor."""
        return self.bits_at(None)

    def bits_at(self, value_bits: int | None) -> int:
        """`bits()` with the values stored in `value_bits` each (None: the width of their dtype)."""
        total = 0
        for name, mask in self.masks.items():
            values = self.values[name]
            width = value_bits or 8 * values.element_size()
            index = min(mask.numel(), values.numel() * max(1, math.ceil(math.log2(max(2, mask.numel())))))
            total += values.numel() * width + index
        return total

    def arrays(self) -> dict[str, Tensor]:
        """`NAME.mask` (boolean) and `NAME.values`."""
        stored: dict[str, Tensor] = {}
        for name in self.masks:
            stored[f"{name}.mask"] = self.masks[name]
            stored[f"{name}.values"] = self.values[name]
        return stored

    def same_structure(self, other: object) -> bool:
        """Whether exactly the same positions survive."""
        return isinstance(other, SparseCode) and all(
            torch.equal(mask, other.masks[name]) for name, mask in self.masks.items()
        )


@dataclass(frozen=True)
class Prune:
    """The nearest point with at most kappa non-zeros: argmin ||w - theta||^2, ||theta||_0 <= kappa.

    kappa = kept_of(all weights of the target, `sparsity`), jointly over the tensors: one threshold for all of them.
    Equal magnitudes: the earlier tensor, then the earlier position, survives.
    Source: Carreira-Perpinan and Idelbayev, CVPR 2018 (the l0-constrained C step).
    """

    sparsity: float
    criterion: str = "magnitude"

    name: ClassVar[str] = "prune"
    facts: ClassVar[Facts] = Facts(
        summary="single weights are zero, the largest magnitudes survive",
        source="Carreira-Perpinan and Idelbayev, CVPR 2018",
        structure="element",
        exact=True,
        shrinks_file="none: zeros are stored like any weight in model.onnx",
        speeds_up="none on the runtimes measured here: 99 % zeros run at 1.00x",
    )

    def __post_init__(self) -> None:
        kept_of(1, self.sparsity)
        if self.criterion != "magnitude":
            raise SchemeError(f"prune: criterion {self.criterion!r} is not known", hint="known: magnitude")

    def project(self, target: Target) -> SparseCode:
        """The l0-constrained C step over all tensors jointly."""
        names = list(target.tensors)
        flat = torch.cat([target.tensors[name].detach().abs().flatten() for name in names])
        mask = largest(flat, kept_of(flat.numel(), self.sparsity))
        masks, start = {}, 0
        for name in names:
            tensor = target.tensors[name]
            masks[name] = mask[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()
        return SparseCode(masks, {name: target.tensors[name].detach()[masks[name]] for name in names})
