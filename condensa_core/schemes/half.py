"""Weights in half precision: float16 and bfloat16, correctly rounded from any floating dtype."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.contract import Freedom, Target, Tensors
from condensa_core.schemes.terms import Plain, Term

FLOATS: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16}

# The largest number that float16 and bfloat16 both hold: 255 * 2^8 has 8 significant bits and lies below 65504.
_LARGEST_OF_BOTH: Final = 65280.0


def nearest(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest number of `dtype` (float16 or bfloat16) to each entry: ties to even, beyond the range saturated.

    It rounds once, also from float64, which torch rounds to float32 on the way. A result is always one that the
    tensor's own dtype holds as well. NaN stays NaN. Returns new memory.
    Source: IEEE 754-2008, roundTiesToEven; once through a wider format: Boldo and Melquiond, "Emulation of FMA and
    correctly rounded sums: proved algorithms using rounding to odd", IEEE Trans. Computers 57(4), 2008.
    """
    limit = torch.finfo(dtype).max
    if tensor.dtype in FLOATS.values() and tensor.dtype != dtype:
        limit = _LARGEST_OF_BOTH
    wide = _odd_float32(tensor) if tensor.dtype == torch.float64 else tensor.float()
    return wide.clamp(-limit, limit).to(dtype, copy=True)


def _odd_float32(tensor: Tensor) -> Tensor:
    """float64 to float32, inexact results at the neighbour with an odd last bit: rounding that again loses nothing."""
    single = tensor.float()
    bits = single.view(torch.int32)
    bits = torch.where(single.double().abs() > tensor.abs(), bits - 1, bits)  # truncated: sign and magnitude
    inexact = single.double() != tensor
    odd = torch.where(inexact & tensor.isfinite(), bits | 1, bits).view(torch.float32)
    return torch.where(tensor.isnan(), single, odd)


@dataclass(frozen=True, eq=False)
class HalfCode:
    """Half-precision copies, and the dtypes they came from."""

    halves: dict[str, Tensor]
    dtypes: dict[str, torch.dtype]
    alive: dict[str, Tensor] = field(default_factory=dict)

    def decode(self) -> dict[str, Tensor]:
        """The rounded weights in the target's own dtype."""
        return {name: half.to(self.dtypes[name], copy=True) for name, half in self.halves.items()}

    def bits(self) -> int:
        """16 bits a weight."""
        return sum(16 * int(self.alive[n].sum()) if n in self.alive else 16 * h.numel() for n, h in self.halves.items())

    def structure_bits(self) -> int:
        """All of `bits()`: no free number is left."""
        return self.bits()

    def arrays(self) -> dict[str, Tensor]:
        """The half-precision tensors."""
        return dict(self.halves)

    def same_structure(self, other: object) -> bool:
        """Always true: half precision has no structure to settle."""
        return isinstance(other, HalfCode)

    def values(self) -> Target:
        """Nothing is left to compress."""
        return Target({})

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """`decode()`: there are no free numbers."""
        return self.decode()

    def freedom(self) -> Freedom:
        """Every weight moves, if it is alive: whoever trains on rounds again at the end (`nearest`), and loses next to
        nothing."""
        labels = {n: torch.full(h.shape, -1, dtype=torch.int32, device=h.device) for n, h in self.halves.items()}
        return Freedom({n: t.masked_fill(~self.alive[n], 0) if n in self.alive else t for n, t in labels.items()})

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """One plain tensor each, whose values are exact in half precision."""
        return {name: (Plain(dense),) for name, dense in self.decode().items()}


def held(tensors: Tensors) -> dict[str, Tensor]:
    """Labels of `Freedom` that hold every entry."""
    return {name: torch.zeros(t.shape, dtype=torch.int32, device=t.device) for name, t in tensors.items()}


def project_half(target: Target, dtype: torch.dtype) -> HalfCode:
    """Round every weight to its nearest number of `dtype`."""
    return HalfCode(
        {name: nearest(tensor.detach(), dtype) for name, tensor in target.tensors.items()},
        {name: tensor.dtype for name, tensor in target.tensors.items()},
        dict(target.alive),
    )
