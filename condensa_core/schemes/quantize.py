"""`quantize: {dtype: float16}`: weights stored in half precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Facts, Target

_LARGEST = torch.finfo(torch.float16).max  # 65504


@dataclass(frozen=True, eq=False)
class HalfCode:
    """Half-precision copies, and the dtypes they came from."""

    halves: dict[str, Tensor]
    dtypes: dict[str, torch.dtype]

    def decode(self) -> dict[str, Tensor]:
        """The rounded weights in the target's own dtype."""
        return {name: half.to(self.dtypes[name]) for name, half in self.halves.items()}

    def bits(self) -> int:
        """16 bits a weight."""
        return sum(16 * half.numel() for half in self.halves.values())

    def arrays(self) -> dict[str, Tensor]:
        """The float16 tensors."""
        return dict(self.halves)

    def same_structure(self, other: object) -> bool:
        """Always true: half precision has no structure to settle."""
        return isinstance(other, HalfCode)


@dataclass(frozen=True)
class Quantize:
    """The nearest half-precision weights: argmin ||w - theta||^2, theta in float16 (round to nearest, ties to even).

    Magnitudes beyond 65504 saturate there, which is their nearest finite float16.
    Source: IEEE 754-2008 binary16; Condensa's Quantize(float16), arXiv:1911.02497.
    """

    dtype: str = "float16"

    name: ClassVar[str] = "quantize"
    value_bits: ClassVar[int] = 16
    facts: ClassVar[Facts] = Facts(
        summary="weights are stored in 16 bits",
        source="IEEE 754-2008 binary16",
        structure="value",
        exact=True,
        shrinks_file="halves the bytes of the layers it covers (float16 initialisers, widened at load)",
        speeds_up="none on CPUs: ONNX Runtime computes in float32 after widening at load",
    )

    def __post_init__(self) -> None:
        if self.dtype != "float16":
            raise SchemeError(f"quantize: dtype {self.dtype!r} is not available in this version", hint="use float16")

    def project(self, target: Target) -> HalfCode:
        """Round every weight to its nearest float16."""
        halves = {
            name: tensor.detach().clamp(-_LARGEST, _LARGEST).to(torch.float16)
            for name, tensor in target.tensors.items()
        }
        return HalfCode(halves, {name: tensor.dtype for name, tensor in target.tensors.items()})
