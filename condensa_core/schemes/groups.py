"""Entries of a tensor that live or die together: their scores, and the masks that keep the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Groups x entries (magnitudes >= 0, float64) -> one score for each group; higher = keep.
Aggregation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of one tensor, numbered from 0 by the position of their first entry.

    Entries lie group after group in `order` (flat positions, ascending within a group), `sizes` says how many each
    group has and `numbers` which one it is. `free` (boolean, the tensor's shape) are those that survive in no group.
    """

    order: Tensor
    sizes: Tensor
    numbers: Tensor
    free: Tensor

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.sizes)

    def scores(self, magnitudes: Tensor, aggregation: Aggregation) -> Tensor:
        """One score for each group, by number, from the magnitudes of its entries alone; float64."""
        flat = magnitudes.flatten()
        starts = self.sizes.cumsum(0) - self.sizes
        scores = torch.empty(self.count, dtype=torch.float64, device=flat.device)
        for size in self.sizes.unique().tolist():  # few: inner groups, and those at the borders
            alike = (self.sizes == size).nonzero().flatten()
            members = self.order[starts[alike, None] + torch.arange(size, device=flat.device)]
            scores[self.numbers[alike]] = aggregation(flat[members].double()).double()
        return scores

    def numbered_sizes(self) -> Tensor:
        """How many entries each group has, by number."""
        return torch.empty_like(self.sizes).index_copy_(0, self.numbers, self.sizes)

    def mask(self, chosen: Tensor) -> Tensor:
        """Where the entries of the chosen groups (boolean by number) are, and the free ones."""
        mask = self.free.flatten().index_copy(0, self.order, chosen[self.numbers].repeat_interleave(self.sizes))
        return mask.view(self.free.shape)

    def bits(self, mask: Tensor, alive: Tensor | None) -> int:
        """One for each group: see `Positions`."""
        return self.count


def groups_of(labels: Tensor, alive: Tensor | None) -> Groups:
    """Groups from integers of the tensor's shape: equal ones go together, negative ones are free.

    What is not `alive` is in no group and not free. One stable sort.
    """
    everything = torch.ones_like(labels, dtype=torch.bool) if alive is None else alive
    keys = labels.masked_fill((labels < 0) | ~everything, -1).flatten()
    if keys.numel() and int(keys.amax()) < 2**31:
        keys = keys.int()  # sorts in half the time
    order = keys.argsort(stable=True)[int((keys < 0).count_nonzero()) :]
    sizes = keys[order].unique_consecutive(return_counts=True)[1]
    first = order[sizes.cumsum(0) - sizes]
    return Groups(order, sizes, first.argsort().argsort(), (labels < 0) & everything)


def group_masks(groups: dict[str, Groups], chosen: Tensor) -> dict[str, Tensor]:
    """Masks by tensor from one boolean for each group, those of all tensors in order."""
    shares = chosen.split([mine.count for mine in groups.values()])
    return {name: mine.mask(share) for (name, mine), share in zip(groups.items(), shares, strict=True)}
