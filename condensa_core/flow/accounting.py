"""What a candidate holds in bits: as its codes store it, and as papers count it."""

from __future__ import annotations

from torch import nn

from condensa_core.flow.candidate import Structure, remaining
from condensa_core.flow.workbench import Workbench
from condensa_core.schemes import counted_bits


def stored_bits(bench: Workbench, shipped: nn.Module, structure: Structure) -> tuple[int, int]:
    """The whole model in bits: as its codes store it, and as papers count it (non-zero numbers only).

    Every parameter counts, biases and untouched layers included. Of coded tensors counts what channels that any rule
    removes leave of them.
    """
    codes = remaining(bench, structure)
    stored = sum(code.bits() for code in codes)
    counted = sum(counted_bits(code) for code in codes)
    coded = {name for code in codes for name in code.decode()}
    coded |= _in_other_places(structure, coded)
    for name, p in shipped.named_parameters():
        if name not in coded:
            stored += 32 * p.numel()
            counted += 32 * int(p.count_nonzero())
    return stored, counted


def _in_other_places(structure: Structure, coded: set[str]) -> set[str]:
    """Parameters of two layers that hold what is coded under the names of the layer they stand for."""
    found = set()
    for name, pair in structure.pairs.items():
        found |= {pair.left, pair.right}
        layer = name.rpartition(".")[0]
        if f"{layer}.bias" in coded:
            found.add(f"{pair.left.removesuffix('weight')}bias")
    return found
