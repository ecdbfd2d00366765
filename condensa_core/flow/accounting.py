"""What a candidate holds in bits: as its codes store it, and as papers count it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condensa_core.flow.candidate import Structure
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import kept_positions
from condensa_core.materialise.kept import Kept
from condensa_core.schemes import counted_bits, restricted


def stored_bits(bench: Workbench, shipped: nn.Module, structure: Structure) -> tuple[int, int]:
    """The whole model in bits: as its codes store it, and as papers count it (non-zero numbers only).

    Every parameter counts, biases and untouched layers included. Of coded tensors counts what channels that any rule
    removes leave of them.
    """
    kept = kept_positions(bench.graph, structure.keep)
    stored = counted = 0
    coded: set[str] = set()
    for code in structure.codes:
        names = code.decode()
        left = restricted(code, {name: _mask(tensor, kept[name]) for name, tensor in names.items() if name in kept})
        stored += left.bits()
        counted += counted_bits(left)
        coded |= names.keys()
    coded |= _in_other_places(structure, coded)
    for name, p in shipped.named_parameters():
        if name not in coded:
            stored += 32 * p.numel()
            counted += 32 * int(p.count_nonzero())
    return stored, counted


def _mask(tensor: Tensor, kept: Kept) -> Tensor:
    """Where the surviving slices of a tensor cross."""
    mask = torch.ones_like(tensor, dtype=torch.bool)
    for dim, positions in enumerate(kept):
        if positions is not None:
            here = torch.zeros(tensor.shape[dim], dtype=torch.bool, device=tensor.device)
            here[torch.from_numpy(positions).to(tensor.device)] = True
            mask &= here.view(-1, *[1] * (tensor.ndim - dim - 1))
    return mask


def _in_other_places(structure: Structure, coded: set[str]) -> set[str]:
    """Parameters of two layers that hold what is coded under the names of the layer they stand for."""
    found = set()
    for name, pair in structure.pairs.items():
        found |= {pair.left, pair.right}
        layer = name.rpartition(".")[0]
        if f"{layer}.bias" in coded:
            found.add(f"{pair.left.removesuffix('weight')}bias")
    return found
