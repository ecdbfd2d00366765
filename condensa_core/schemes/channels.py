"""`filter`, `neuron`, `structure`: whole coupled channels are removed, the strongest kept.

The three differ in which layers a recipe's rule hands over (convolutions, linear layers, both); what they do to the
units they are given is the same projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from condensa_core.criteria import criterion_named, share_gained
from condensa_core.errors import SchemeError
from condensa_core.graph.channels import Family
from condensa_core.schemes.contract import Facts, Freedom, Target, Tensors
from condensa_core.schemes.counting import kept_of
from condensa_core.schemes.terms import Plain, Term


@dataclass(frozen=True, eq=False)
class ChannelsCode:
    """Surviving units by family, and the target's tensors with the removed units at zero."""

    families: tuple[Family, ...]
    keep: dict[str, np.ndarray]
    tensors: dict[str, Tensor]

    def decode(self) -> dict[str, Tensor]:
        """The target's tensors with every slice of a removed unit at zero."""
        return {name: tensor.clone() for name, tensor in self.tensors.items()}

    def bits(self) -> int:
        """What is left after removal of rows and followers, at the width of their dtype; no index is needed."""
        return sum(t.numel() * 8 * t.element_size() for t in self.arrays().values())

    def structure_bits(self) -> int:
        """None: the smaller shapes say it."""
        return 0

    def arrays(self) -> dict[str, Tensor]:
        """The tensors without the removed slices."""
        left = {}
        for name, tensor in self.tensors.items():
            for dim in range(tensor.dim()):
                gone = _removed_positions(name, dim, self.families, self.keep)
                if gone.size:
                    kept = np.setdiff1d(np.arange(tensor.shape[dim]), gone)
                    tensor = tensor.index_select(dim, torch.as_tensor(kept, device=tensor.device))
            left[name] = tensor
        return left

    def same_structure(self, other: object) -> bool:
        """Whether exactly the same units survive."""
        return isinstance(other, ChannelsCode) and all(
            np.array_equal(kept, other.keep[name]) for name, kept in self.keep.items()
        )

    def values(self) -> Target:
        """The tensors, alive where no removed unit lies."""
        alive = {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in self.tensors.items()}
        zero_units(alive, self.families, self.keep, consumers=False)
        return Target(self.decode(), self.families, alive=alive)

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """The values, with removed units at zero."""
        tensors = {name: tensor.clone() for name, tensor in values.items()}
        zero_units(tensors, self.families, self.keep, consumers=False)
        return tensors

    def freedom(self) -> Freedom:
        """Surviving units move, removed ones stay."""
        return Freedom({name: -mask.to(torch.int32) for name, mask in self.values().alive.items()})

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """The tensors as they are."""
        return {name: (Plain(tensor),) for name, tensor in self.decode().items()}


def zero_units(tensors: Tensors, families: tuple[Family, ...], keep: dict[str, np.ndarray], *, consumers: bool) -> None:
    """Set the slices of removed units to zero, in place: rows and followers, or with `consumers` the columns that read
    them. Tensors that are not among `tensors` are left out."""
    for family in families:
        gone = ~keep[family.name]
        if not gone.any():
            continue
        for member in family.members:
            if member.name in tensors and (member.side == "consumes") == consumers:
                tensor = tensors[member.name]
                positions = torch.as_tensor(np.unique(member.index[gone]), device=tensor.device)
                tensor.index_fill_(member.dim, positions, 0)


def _removed_positions(name: str, dim: int, families: tuple[Family, ...], keep: dict[str, np.ndarray]) -> np.ndarray:
    gone = [
        member.index[~keep[family.name]].ravel()
        for family in families
        for member in family.members
        if member.name == name and member.dim == dim and member.side != "consumes"
    ]
    return np.unique(np.concatenate(gone)) if gone else np.empty(0, dtype=np.int64)


def unit_scores(target: Target, family: Family, criterion: str) -> Tensor:
    """Importance of each unit of the family, `units` long, from all rows that produce it (float32 or wider)."""
    rows = []
    for member in family.members:
        if member.side == "produces" and member.name in target.tensors:
            tensor = target.tensors[member.name].detach()
            index = torch.as_tensor(member.index, device=tensor.device)  # units x k
            picked = tensor.movedim(member.dim, 0)[index.flatten()]
            rows.append(picked.reshape(index.shape[0], -1))
    if not rows:
        raise SchemeError(f"family {family.name!r} has no producing rows among the given tensors")
    return criterion_named(criterion)(torch.cat(rows, dim=1))


def select_units(worth: dict[str, Tensor], sparsity: float, align: int) -> dict[str, np.ndarray]:
    """Units to keep, by family: the highest worth over all families together, at least `align` (or all) in each.

    With align = 1 exactly kept_of(all units, sparsity) survive, or one in each family if that is more. With align > 1
    the kept count of each family is a multiple of `align` (or the whole family), units enter in blocks of their
    family's order of worth, a block counts as its mean, and blocks that would pass the count are left out.
    """
    names = list(worth)
    order = {name: worth[name].argsort(descending=True, stable=True) for name in names}
    total = sum(w.numel() for w in worth.values())
    budget = kept_of(total, sparsity)
    kept = {name: min(align, worth[name].numel()) for name in names}  # the block that always survives
    budget -= sum(kept.values())
    blocks: list[tuple[float, int, int, str]] = []  # (-worth, position in the model, size, family), sortable
    for place, name in enumerate(names):
        ranked = worth[name][order[name]].double()
        for start in range(kept[name], ranked.numel(), align):
            block = ranked[start : start + align]
            blocks.append((-float(block.mean()), place, block.numel(), name))
    closed: set[str] = set()  # a family whose next block did not fit: later blocks of it may not jump the queue
    for _, _, size, name in sorted(blocks, key=lambda block: block[:2]):
        if name in closed:
            continue
        if size > budget:
            closed.add(name)
            continue
        kept[name] += size
        budget -= size
    masks = {}
    for name in names:
        mask = np.zeros(worth[name].numel(), dtype=bool)
        mask[order[name][: kept[name]].cpu().numpy()] = True
        masks[name] = mask
    return masks


@dataclass(frozen=True)
class _Channels:
    """At most kappa units of theta are non-zero, the best of each family.

    `sparsity` is the fraction of coupled units removed, over all families of the target together; `align` rounds each
    family's survivors to multiples (and is the least that survives). `criterion` scores the rows that produce a unit.
    Given the counts, keeping each family's highest scores is exact: with l2 it minimises ||w - theta||^2. The counts
    are those of one threshold over all units: with `norm: none` on the squared scores, the exact projection with l2;
    with `norm: scaled` on the share each unit adds to what its family retains, which maximises
    sum_f sqrt(n_f) log(retained share of f) exactly (see `criteria.norms.share_gained`).
    Source: Condensa's FilterPrune, arXiv:1911.02497, section 3; coupling: DepGraph, CVPR 2023.
    """

    sparsity: float
    align: int = 1
    criterion: str = "l2"
    norm: str = "scaled"

    name: ClassVar[str]
    facts: ClassVar[Facts]

    def __post_init__(self) -> None:
        kept_of(1, self.sparsity)
        criterion_named(self.criterion)
        if self.align < 1:
            raise SchemeError(f"{self.name}: align must be at least 1, got {self.align}")
        if self.norm not in ("scaled", "none"):
            raise SchemeError(f"{self.name}: norm {self.norm!r} is not known", hint="known: scaled, none")

    def project(self, target: Target) -> ChannelsCode:
        """Keep the best units and set the slices of all others to zero."""
        scores = {family.name: unit_scores(target, family, self.criterion) for family in target.families}
        worth = {n: share_gained(s) if self.norm == "scaled" else s.square() for n, s in scores.items()}
        keep = select_units(worth, self.sparsity, self.align)
        tensors = {name: tensor.detach().clone() for name, tensor in target.tensors.items()}
        zero_units(tensors, target.families, keep, consumers=False)
        return ChannelsCode(target.families, keep, tensors)


def _facts(what: str) -> Facts:
    return Facts(
        summary=f"{what} are removed with everything coupled to them",
        source="Condensa, arXiv:1911.02497; coupled removal: DepGraph, CVPR 2023",
        structure="channel",
        exact=True,
        shrinks_file="in proportion to the weights removed, about the square of the kept fraction",
        speeds_up="yes: smaller dense layers on every runtime",
    )


class Filter(_Channels):
    """`filter`: output channels of convolutions."""

    name = "filter"
    facts = _facts("convolution filters")


class Neuron(_Channels):
    """`neuron`: outputs of linear layers."""

    name = "neuron"
    facts = _facts("linear neurons")


class Structure(_Channels):
    """`structure`: filters and neurons, ranked together."""

    name = "structure"
    facts = _facts("filters and neurons")
