"""What it takes to store where the survivors of a tensor are, in bits.

Not counted is a header of a few bytes a tensor: the shape, how many survive, and which of the forms was the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Positions(Protocol):
    """The form in which a mask is stored."""

    def bits(self, mask: Tensor, alive: Tensor | None) -> int:
        """Exact size of `mask` among the entries that are `alive` (None: all)."""


@dataclass(frozen=True)
class Scattered:
    """Anywhere: the cheapest of a bitmap, fixed-width indices, and gaps between neighbours."""

    def bits(self, mask: Tensor, alive: Tensor | None) -> int:
        """n, or k ceil(log2 n), or `gap_bits`, for k of n alive entries; 0 where all or none survive."""
        among = mask.flatten() if alive is None else mask[alive]
        n, kept = among.numel(), int(among.count_nonzero())
        if kept in (0, n):
            return 0
        return min(n, kept * (n - 1).bit_length(), gap_bits(among))


def gap_bits(mask: Tensor) -> int:
    """Bits of gap coding with the best symbol width b in 1..32.

    A symbol below 2^b - 1 is the number of removed entries before the next survivor; the symbol 2^b - 1 stands for as
    many removed entries and no survivor. What follows the last survivor is not written.
    Source: Han et al., "Deep compression", arXiv:1510.00149, figure 2, where a survivor of value zero is the filler.
    """
    at = mask.flatten().nonzero().flatten()
    if not len(at):
        return 0
    gaps = torch.diff(at, prepend=at.new_tensor([-1])) - 1
    widths = range(1, min(32, 1 + int(gaps.max()).bit_length()) + 1)
    return min(b * (len(gaps) + int((gaps // (2**b - 1)).sum())) for b in widths)
