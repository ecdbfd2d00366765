"""Entries of a tensor that live or die together: their scores, and the masks that keep the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from condensa_core.schemes.contract import Target
from condensa_core.schemes.positions import WholeGroups

# Groups x entries (magnitudes >= 0, float64) -> one score for each group; higher = keep.
Aggregation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of one tensor, numbered from 0 by the position of their first entry.

    `group` has the tensor's shape: the number of the group of every entry, or -1 for an entry that is in none: one that
    always survives, or is not alive.
    """

    group: Tensor
    count: int

    def scores(self, magnitudes: Tensor, aggregation: Aggregation) -> Tensor:
        """One score for each group from the magnitudes of its entries alone; float64."""
        flat = magnitudes.flatten().double()
        order, sizes = self._sorted()
        starts = sizes.cumsum(0) - sizes
        scores = flat.new_empty(self.count)
        for size in sizes.unique().tolist():  # few: inner groups, and those at the borders
            alike = (sizes == size).nonzero().flatten()
            members = order[starts[alike, None] + torch.arange(size, device=flat.device)]
            scores[alike] = aggregation(flat[members]).double()
        return scores

    def sizes(self) -> Tensor:
        """How many entries each group has."""
        return self._sorted()[1]

    def mask(self, chosen: Tensor) -> Tensor:
        """Where the entries of the chosen groups are (boolean by number), and those in no group."""
        return torch.cat([chosen, chosen.new_ones(1)])[self.group]

    def _sorted(self) -> tuple[Tensor, Tensor]:
        group = self.group.flatten()
        order = group.argsort(stable=True)
        return order[len(order) - int((group >= 0).count_nonzero()) :], torch.bincount(
            group[group >= 0], minlength=self.count
        )


def groups_of(labels: Tensor, alive: Tensor | None) -> Groups:
    """Groups from integers of the tensor's shape: equal ones go together, negative ones are in no group."""
    flat = labels.flatten()
    if alive is not None:
        flat = flat.masked_fill(~alive.flatten(), -1)
    inside = (flat >= 0).nonzero().flatten()
    _, number = flat[inside].unique(return_inverse=True)
    count = int(number.max()) + 1 if len(number) else 0
    first = torch.full((count,), len(flat), device=flat.device).scatter_reduce_(0, number, inside, "amin")
    rank = torch.empty_like(first).scatter_(0, first.argsort(), torch.arange(count, device=flat.device))
    group = torch.full_like(flat, -1, dtype=torch.int64)
    group[inside] = rank[number]
    return Groups(group.view(labels.shape), count)


def group_masks(groups: dict[str, Groups], chosen: Tensor, target: Target) -> dict[str, Tensor]:
    """Masks by tensor from one boolean over the groups of all of them in order; what is not alive is not in them."""
    masks = {}
    for (name, mine), kept in zip(groups.items(), chosen.split([g.count for g in groups.values()]), strict=True):
        masks[name] = mine.mask(kept)
        if name in target.alive:
            masks[name] &= target.alive[name]
    return masks


def positions_of(groups: dict[str, Groups]) -> dict[str, WholeGroups]:
    """How masks of whole groups are stored."""
    return {name: WholeGroups(mine.group) for name, mine in groups.items()}
