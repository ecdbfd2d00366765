"""`block`: whole blocks of a weight are zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.criteria import Criterion, criterion_of
from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.counting import kept_of, largest
from condensa_core.schemes.groups import group_masks, groups_of
from condensa_core.schemes.magnitudes import magnitudes, refuse_non_finite
from condensa_core.schemes.sparse import SparseCode
from condensa_core.schemes.surgeon import refitted


@dataclass(frozen=True)
class Block:
    """The nearest point with at most kappa non-zero blocks: argmin ||w - theta||^2, ||theta||_blocks <= kappa.

    kappa = kept_of(all blocks of the target, `sparsity`), jointly over the tensors. `shape` has as many numbers as the
    weight has dimensions, -1 for a whole dimension ((1, 1, -1, -1) are the kernels of a convolution), or two numbers,
    which then divide its matrix `weight.flatten(1)`. Blocks at the far borders are smaller and count as one each.
    `criterion` scores a block by the magnitudes of its entries, in the metric; with l2 the projection is exact. With
    `align` > 1 each tensor keeps a multiple of it (or everything), as many as fit into kappa.
    With a gram metric the survivors make up for what is lost (`surgeon.refitted`).
    Equal scores: the earlier tensor, then the block whose first entry is earlier, survives.
    Source: Narang et al., "Block-sparse recurrent neural networks", arXiv:1711.02782; Condensa's BlockPrune.
    """

    sparsity: float
    shape: tuple[int, ...]
    criterion: str | Criterion = "l2"
    align: int = 1

    name: ClassVar[str] = "block"
    facts: ClassVar[Facts] = Facts(
        summary="whole blocks of weights are zero",
        source="Narang et al., arXiv:1711.02782; Condensa, arXiv:1911.02497",
        structure="element",
        exact=True,
        shrinks_file="none in model.onnx, which stores zeros like any weight; the packed file stores what survives",
        speeds_up="none on the runtimes measured here: 75 % block zeros run at 0.90 to 1.02x",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        kept_of(1, self.sparsity)
        criterion_of(self.criterion)
        if not self.shape or any(not isinstance(size, int) or (size < 1 and size != -1) for size in self.shape):
            raise SchemeError(
                f"block: shape {list(self.shape)} must be whole numbers from 1", hint="-1 is a whole dimension"
            )
        if self.align < 1:
            raise SchemeError(f"block: align must be at least 1, got {self.align}")

    def project(self, target: Target) -> SparseCode:
        """Keep the best blocks of all tensors jointly."""
        refuse_non_finite(target.tensors)
        magnitude = magnitudes(target)
        groups = {
            name: groups_of(block_labels(tuple(t.shape), self.shape, name).to(t.device), target.alive.get(name))
            for name, t in target.tensors.items()
        }
        score = criterion_of(self.criterion)
        scores = {name: mine.scores(magnitude[name], score) for name, mine in groups.items()}
        kept = kept_of(sum(mine.count for mine in groups.values()), self.sparsity)
        if self.align == 1:
            chosen = largest(torch.cat(list(scores.values())), kept)
        else:
            worth = {name: s.square() if self.criterion == "l2" else s for name, s in scores.items()}
            chosen = torch.cat(list(aligned(worth, kept, self.align).values()))
        masks = group_masks(groups, chosen)
        return SparseCode(masks, refitted(target, masks), target.alive, groups)


def check_block(block: tuple[int, ...], shape: tuple[int, ...], name: str) -> None:
    """SchemeError where a weight of that shape cannot be divided into such blocks."""
    if len(block) != len(shape) and not (len(block) == 2 and len(shape) > 2):
        raise SchemeError(
            f"block: shape {list(block)} does not fit {name}, which has {len(shape)} dimensions: {list(shape)}",
            hint="give one number for each dimension, or two for the matrix of outputs and inputs",
        )


def check_block_criterion(criterion: str | Criterion, block: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """SchemeError where a criterion gives no score for the blocks of a weight of that shape.

    It is tried on random magnitudes between 0 and 1, the same each time; the weight fits the blocks (`check_block`).
    """
    generator = torch.Generator().manual_seed(0)
    groups = groups_of(block_labels(shape, block, "the weight"), None)
    groups.scores(torch.rand(shape, dtype=torch.float64, generator=generator), criterion_of(criterion))


def block_labels(shape: tuple[int, ...], block: tuple[int, ...], name: str) -> Tensor:
    """The number of the block of every entry of a weight of that shape, blocks in row-major order; int64."""
    check_block(block, shape, name)
    view = shape
    if len(block) != len(shape):
        view = (shape[0], torch.Size(shape[1:]).numel())
    labels = torch.zeros(view, dtype=torch.int64)
    for dim, (extent, size) in enumerate(zip(view, block, strict=True)):
        at = torch.arange(extent) // (extent if size == -1 else size)
        blocks = int(at[-1]) + 1 if extent else 0
        labels = labels * blocks + at.view(-1, *[1] * (len(view) - dim - 1))
    return labels.view(shape)


def aligned(worth: dict[str, Tensor], kept: int, align: int) -> dict[str, Tensor]:
    """Masks by tensor of the most worth with counts that are multiples of `align`, `kept` in all or just below.

    A tensor whose blocks are no multiple keeps its last few when it keeps all the others and they still fit. Worth adds
    up: bundles of `align` blocks in descending order of worth enter by their sum, which is exact because every later
    bundle of a tensor is worth less.
    """
    order = {name: w.argsort(descending=True, stable=True) for name, w in worth.items()}
    bundles = {name: w[order[name]][: len(w) // align * align].view(-1, align).sum(1) for name, w in worth.items()}
    every = torch.cat(list(bundles.values()))
    entered = largest(every, min(len(every), kept // align)).split([len(b) for b in bundles.values()])
    counts = {name: align * int(mine.count_nonzero()) for name, mine in zip(worth, entered, strict=True)}
    spare = kept - sum(counts.values())
    rests = {name: len(w) - counts[name] for name, w in worth.items() if 0 < len(w) - counts[name] < align}
    for name in sorted(rests, key=lambda name: -float(worth[name][order[name][counts[name] :]].mean())):
        if rests[name] <= spare:
            counts[name] += rests[name]
            spare -= rests[name]
    masks = {}
    for name, w in worth.items():
        masks[name] = torch.zeros_like(w, dtype=torch.bool)
        masks[name][order[name][: counts[name]]] = True
    return masks
