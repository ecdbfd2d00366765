"""Pruning in the metric of a layer's inputs: which weights go, and how the others make up for it.

With a gram matrix H the error of a row is e H e^T, and its weights are no longer independent: where one goes, its
correlated neighbours can take over. The best values for given survivors are a linear system and are found exactly; the
best survivors are a combinatorial problem, for which backward elimination is the standard heuristic: not a global
minimiser, but for N:M and half of the weights far below what magnitudes reach.
H is damped, H + lambda I with lambda 1 % of its mean diagonal: what the calibration data never showed is not free.
Source: Hassibi and Stork, "Optimal brain surgeon", NIPS 1992; Frantar and Alistarh, "Optimal brain compression",
arXiv:2208.11580 (a row at a time); damping: GPTQ, arXiv:2210.17323.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Target
from condensa_core.schemes.magnitudes import magnitudes
from condensa_core.schemes.nm import FineGrained

DAMPING: Final = 0.01
# Numbers of a batch of matrices, 128 MiB in float64.
_BATCH: Final = 2**24
# A row is thinned out in so many steps: one weight at a time up to as many removals.
_STEPS: Final = 48
_AFFORDABLE: Final = 2e11  # some 20 s on one core


def refitted(target: Target, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """The best values of the survivors, in row-major order: argmin ||w - theta||_M^2, theta zero outside `masks`.

    They stay as they are without a metric and with a diagonal one; with a gram metric every row solves
    H_SS (theta_S - w_S) = H_SR w_R, S its survivors and R the rest, k^3 / 3 operations for k survivors.
    """
    values = {}
    for name, mask in masks.items():
        tensor = target.tensors[name].detach()
        values[name] = tensor[mask]
        if has_gram(target, name):
            fitted = refit(as_rows(tensor).double(), damped_gram(target, name), as_rows(mask))
            values[name] = fitted.view(tensor.shape)[mask].to(tensor.dtype)
    return values


def has_gram(target: Target, name: str) -> bool:
    """Whether the metric of that tensor knows how its inputs are correlated."""
    return name in target.metrics and target.metrics[name].gram is not None


def as_rows(tensor: Tensor) -> Tensor:
    """Outputs x inputs, `flatten(1)`; a vector is one row."""
    return tensor.flatten(1) if tensor.dim() > 1 else tensor.reshape(1, -1)


def damped_gram(target: Target, name: str) -> Tensor:
    """H + lambda I in float64 on the tensor's device; SchemeError where H does not fit the tensor."""
    gram = target.metrics[name].gram
    assert gram is not None
    rows = as_rows(target.tensors[name])
    if gram.shape != (rows.shape[1], rows.shape[1]):
        raise SchemeError(f"the metric of {name} is {list(gram.shape)} for {rows.shape[1]} inputs")
    if not bool(gram.isfinite().all()):
        raise SchemeError(f"the metric of {name} has non-finite entries")
    gram = gram.detach().to(rows.device, torch.float64)
    damping = DAMPING * float(gram.diagonal().mean())
    damped = gram + (damping or 1.0) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    if int(torch.linalg.cholesky_ex(damped).info):
        raise SchemeError(f"the metric of {name} is not positive semi-definite: no inputs have this gram matrix")
    return damped


def refit(rows: Tensor, gram: Tensor, mask: Tensor) -> Tensor:
    """Each of m rows of n weights at its best inside `mask`, zero outside; float64. `gram` is positive definite."""
    lost = rows.masked_fill(mask, 0) @ gram
    fitted = rows.masked_fill(~mask, 0)
    counts, order = mask.sum(1).sort(descending=True, stable=True)
    done = 0
    while done < len(rows) and (k := int(counts[done])):
        batch = order[done : done + max(1, _BATCH // k**2)]
        at = mask[batch].int().argsort(dim=1, descending=True, stable=True)[:, :k]
        filler = torch.arange(k, device=at.device) >= counts[done : done + len(batch), None]  # rows with fewer than k
        inner = gram[at[:, :, None], at[:, None, :]].masked_fill(filler[:, :, None] | filler[:, None, :], 0)
        inner.diagonal(dim1=1, dim2=2).add_(filler)
        right = lost[batch].gather(1, at).masked_fill(filler, 0)
        taken_over = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(inner))[:, :, 0]
        fitted[batch] = fitted[batch].scatter_add(1, at, taken_over)
        done += len(batch)
    return fitted


def saliences(rows: Tensor, gram: Tensor) -> Tensor:
    """w^2 / [H^-1]_jj: the error that removing one weight alone causes when all others make up for it; float64."""
    return rows.square() / torch.cholesky_inverse(torch.linalg.cholesky(gram)).diagonal()


def eliminated(rows: Tensor, gram: Tensor, alive: Tensor, group: Tensor, due: Tensor) -> Tensor:
    """What survives when the least salient weights of each row go, the others making up for them each time.

    `rows` (m x n, float64) has zeros where it is not `alive`. `group` numbers the group of every column, and `due`
    (m x groups) says how many alive weights of each are to go. In one step a row loses at most its `_STEPS`-th part,
    and a group, where there are several, one weight. Equal saliences: the earlier column survives.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    at_once = max(1, _BATCH // inverse.numel())
    parts = zip(rows.split(at_once), alive.split(at_once), due.split(at_once), strict=True)
    return torch.cat([_Elimination(w, inverse, left).run(mask, group) for w, mask, left in parts])


class _Elimination:
    """m rows under way, each with the inverse of the gram matrix of what it still has."""

    def __init__(self, rows: Tensor, inverse: Tensor, due: Tensor) -> None:
        m, n = rows.shape
        self.rows = rows.clone()
        self.inverse = inverse.expand(m, n, n).clone()
        self.due = due.clone()
        self.kept = torch.ones_like(rows, dtype=torch.bool)

    def run(self, alive: Tensor, group: Tensor) -> Tensor:
        """First what is not alive goes, then what is due; returns the survivors."""
        m, n = self.rows.shape
        columns, groups = torch.arange(n, device=group.device).expand(m, n), group.expand(m, n)
        while most := int((~alive & self.kept).sum(1).max()):
            self._remove(torch.where(~alive & self.kept, columns, n), min(most, _STEPS))
        most = -(-int(self.due.sum(1).max()) // _STEPS)
        while bool(self.due.any()):
            rank = self._ranks()
            if self.due.shape[1] == 1:
                may_go = rank < self.due
            else:
                lowest = torch.full_like(self.due, n).scatter_reduce_(1, groups, rank, "amin")
                may_go = (rank == lowest.gather(1, groups)) & (self.due.gather(1, groups) > 0)
            gone = self._remove(torch.where(may_go, rank, n), most)
            self.due.scatter_add_(1, groups, -gone.to(self.due.dtype))
        return self.kept

    def _ranks(self) -> Tensor:
        """The position of every weight in its row's order of salience; what is gone comes last."""
        salience = self.rows.square() / self.inverse.diagonal(dim1=1, dim2=2)
        later_first = salience.masked_fill(~self.kept, torch.inf).flip(1).argsort(dim=1, stable=True)
        order = self.rows.shape[1] - 1 - later_first
        places = torch.arange(order.shape[1], device=order.device).expand_as(order)
        return torch.empty_like(order).scatter_(1, order, places)

    def _remove(self, rank: Tensor, most: int) -> Tensor:
        """Take the `most` weights of lowest rank out of each row, of those whose rank is below n; where they were."""
        ranks, at = rank.topk(most, dim=1, largest=False)
        going = ranks < rank.shape[1]
        columns = self.inverse.gather(2, at[:, None, :].expand(-1, rank.shape[1], -1)).masked_fill(~going[:, None], 0)
        corner = columns.gather(1, at[:, :, None].expand(-1, -1, most)).masked_fill(~going[:, :, None], 0)
        corner.diagonal(dim1=1, dim2=2).add_(~going)
        share = torch.cholesky_solve(columns.mT, torch.linalg.cholesky(corner))  # m x most x n
        lost = self.rows.gather(1, at).masked_fill(~going, 0)
        gone = torch.zeros_like(self.kept).scatter_(1, at, going)
        self.rows = (self.rows - (lost[:, None] @ share)[:, 0]).masked_fill(gone, 0)
        self.inverse.baddbmm_(columns, share, alpha=-1)
        self.kept &= ~gone
        return gone


def standing(target: Target) -> dict[str, Tensor]:
    """`magnitudes`, or with a gram metric the root of `saliences`: what the removal of each entry alone would cost."""
    scores = magnitudes(target)
    for name, magnitude in scores.items():
        if has_gram(target, name):
            rows = as_rows(target.tensors[name].detach()).double()
            root = saliences(rows, damped_gram(target, name)).sqrt().view(magnitude.shape)
            scores[name] = torch.where(magnitude < 0, -1.0, root)
    return scores


def reconsidered(target: Target, masks: dict[str, Tensor], pattern: FineGrained | None = None) -> dict[str, Tensor]:
    """Masks that keep as many, in each row (of a pattern: in each group), but with a gram metric the better ones.

    By `eliminated`, where that takes at most `_AFFORDABLE` operations (2 n^2 a removed weight of n inputs); a larger
    tensor keeps the mask it has.
    """
    better = dict(masks)
    for name, mask in masks.items():
        if not has_gram(target, name):
            continue
        rows, kept = as_rows(target.tensors[name].detach()), as_rows(mask)
        alive = as_rows(target.alive[name]) if name in target.alive else torch.ones_like(kept)
        if 2 * rows.shape[1] ** 2 * int((alive & ~kept).count_nonzero()) > _AFFORDABLE:
            continue
        group = torch.zeros_like(kept[0], dtype=torch.int64)
        if pattern is not None:
            group = as_rows(pattern.groups(target.tensors[name][:1]))[0]
        due = torch.zeros(len(rows), int(group.max()) + 1, dtype=torch.int64, device=rows.device)
        due.scatter_add_(1, group.expand_as(kept), (alive & ~kept).long())
        better[name] = eliminated(rows.double(), damped_gram(target, name), alive, group, due).view(mask.shape)
    return better
