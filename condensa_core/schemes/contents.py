"""What a code decides, whatever it is composed of: zeros inside tensors, and how wide their values are."""

from __future__ import annotations

from torch import Tensor

from condensa_core.schemes.compose import ComposedCode
from condensa_core.schemes.contract import Code
from condensa_core.schemes.prune import SparseCode
from condensa_core.schemes.quantize import HalfCode


def masks_of(code: Code) -> dict[str, Tensor]:
    """Parameter name -> boolean mask of the single weights that survive; empty where only whole units or none go."""
    if isinstance(code, ComposedCode):
        return {name: mask for part in code.codes for name, mask in masks_of(part).items()}
    return dict(code.masks) if isinstance(code, SparseCode) else {}


def value_bits_of(code: Code) -> dict[str, int]:
    """Parameter name -> bits of a stored value, for parameters that are stored narrower than they are computed."""
    if isinstance(code, ComposedCode):
        return {name: bits for part in code.codes for name, bits in value_bits_of(part).items()}
    return dict.fromkeys(code.halves, 16) if isinstance(code, HalfCode) else {}
