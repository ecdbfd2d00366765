"""`prune`: weights set to zero one by one, or in the groups of a pattern."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.criteria import Criterion, criterion_of
from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.counting import kept_of, largest
from condensa_core.schemes.groups import group_masks, groups_of
from condensa_core.schemes.l1 import onto_ball, softened
from condensa_core.schemes.magnitudes import diagonals, magnitudes, refuse_non_finite, side_by_side, taken_apart
from condensa_core.schemes.nm import FineGrained, fine_grained
from condensa_core.schemes.patterns import Pattern, labels_of
from condensa_core.schemes.sparse import SparseCode
from condensa_core.schemes.surgeon import reconsidered, refitted, standing


@dataclass(frozen=True)
class Prune:
    """The nearest sparse point, jointly over the tensors: one threshold for all of them.

    With n entries (those that are alive), theta = argmin of
        l0 constraint  ||w - theta||^2,  ||theta||_0 <= kappa: `kappa`, or kept_of(n, `sparsity`)
        l0 penalty     alpha ||theta||_0 + mu/2 ||w - theta||^2
        l1 constraint  ||w - theta||^2,  ||theta||_1 <= kappa
        l1 penalty     alpha ||theta||_1 + mu/2 ||w - theta||^2
    The metric M = diag(weights) replaces the norm in all four, exactly. With a gram metric the l0 forms choose by
    `surgeon.reconsidered`, no global minimiser, and give the survivors their best values; l1 heeds its diagonal.

    `pattern` "N:M" keeps N of every M consecutive inputs (`nm.FineGrained`) and takes no amount. A Python function
    makes groups of entries that live or die together (`patterns.Pattern`); then `sparsity` and `kappa` count groups,
    `criterion` aggregates the magnitudes of their entries (magnitude: l2, which is exact); entries in no group stay.
    Equal magnitudes: the earlier tensor, then the earlier position, survives. Neither end is special: kappa = 0 is the
    zero vector, and kappa >= n, or an l1 ball that holds w, leaves w as it is.
    Source: Carreira-Perpinan and Idelbayev, "Learning-compression algorithms for neural net pruning", CVPR 2018.
    """

    sparsity: float | None = None
    kappa: float | None = None
    alpha: float | None = None
    pattern: str | Pattern = "unstructured"
    criterion: str | Criterion = "magnitude"
    norm: str = "l0"
    form: str = "constraint"

    name: ClassVar[str] = "prune"
    facts: ClassVar[Facts] = Facts(
        summary="single weights are zero, the largest magnitudes survive",
        source="Carreira-Perpinan and Idelbayev, CVPR 2018",
        structure="element",
        exact=True,
        shrinks_file="none in model.onnx, which stores zeros like any weight; the packed file stores what survives",
        speeds_up="none on the runtimes measured here: 99 % zeros run at 1.00x",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        if self.norm not in ("l0", "l1"):
            raise SchemeError(f"prune: norm {self.norm!r} is not known", hint="known: l0, l1")
        if self.form not in ("constraint", "penalty"):
            raise SchemeError(f"prune: form {self.form!r} is not known", hint="known: constraint, penalty")
        if not (isinstance(self.pattern, str) or callable(self.pattern)):
            raise SchemeError(f"prune: pattern must be a name or a function, got {type(self.pattern).__name__}")
        if self.pattern != "unstructured" and self.norm == "l1":
            raise SchemeError("prune: the l1 norm shrinks single weights and knows no pattern", hint="use norm: l0")
        self._check_amount()
        self._check_criterion()

    @property
    def _of_each(self) -> FineGrained | None:
        """The record of an "N:M" pattern."""
        named = isinstance(self.pattern, str) and self.pattern != "unstructured"
        return fine_grained(str(self.pattern)) if named else None

    def _check_amount(self) -> None:
        """One amount, one that the form, norm and pattern understand, within its range."""
        given = {n: a for n in ("sparsity", "kappa", "alpha") if (a := getattr(self, n)) is not None}
        if self._of_each is not None:
            if given or self.form == "penalty":
                raise SchemeError(
                    f"prune: pattern {self.pattern} says by itself how many survive", hint="leave out sparsity and form"
                )
            return
        if self.form == "penalty":
            allowed: tuple[str, ...] = ("alpha",)
        else:
            allowed = ("kappa",) if self.norm == "l1" else ("sparsity", "kappa")
        if len(given) != 1 or not given.keys() <= set(allowed):
            raise SchemeError(
                f"prune: the {self.norm} {self.form} form takes {' or '.join(allowed)}, "
                f"got {' and '.join(given) or 'none'}",
                hint="for alpha write form: penalty" if list(given) == ["alpha"] else None,
            )
        ((name, amount),) = given.items()
        if name == "sparsity":
            kept_of(1, amount)
        elif not 0 <= amount < math.inf:
            raise SchemeError(f"prune: {name} must be a finite number from 0, got {amount}")
        elif name == "kappa" and self.norm == "l0" and not float(amount).is_integer():
            raise SchemeError(f"prune: kappa counts weights and must be whole, got {amount}")

    def _check_criterion(self) -> None:
        if self.criterion == "magnitude":
            return
        if not callable(self.pattern):
            raise SchemeError(
                f"prune: criterion {self.criterion!r} aggregates groups; single weights have only their magnitude",
                hint="leave it out, or use block, or a pattern of your own",
            )
        if self.form == "penalty":
            raise SchemeError("prune: the penalty form weighs squared errors and knows no other criterion")
        criterion_of(self.criterion)

    def project(self, target: Target) -> SparseCode:
        """The C step over all tensors jointly; SchemeError for non-finite weights, or a penalty without mu."""
        refuse_non_finite(target.tensors)
        if self.norm == "l1":
            return self._shrunk(target)
        if callable(self.pattern):
            return self._by_groups(target, self.pattern)
        if (fine := self._of_each) is not None:
            return self._fine_grained(target, fine)
        return self._one_by_one(target)

    def _one_by_one(self, target: Target) -> SparseCode:
        scores = standing(target)
        flat = side_by_side(scores)
        if self.form == "penalty":
            chosen = flat.double() > math.sqrt(2 * self._price(target))
        else:
            chosen = largest(flat, self._kept(_alive(flat, target)))
        masks = reconsidered(target, taken_apart(chosen, scores))
        return SparseCode(masks, refitted(target, masks), target.alive)

    def _kept(self, total: int) -> int:
        if self.sparsity is not None:
            return kept_of(total, self.sparsity)
        assert self.kappa is not None
        return min(int(self.kappa), total)

    def _price(self, target: Target) -> float:
        """What a unit of the norm costs, in squared error: alpha / mu."""
        if target.mu is None or not target.mu > 0:
            raise SchemeError(
                "prune: the penalty form weighs what it keeps against mu, which only learning has (method: lc)",
                hint="use form: constraint",
            )
        assert self.alpha is not None
        return self.alpha / target.mu

    def _shrunk(self, target: Target) -> SparseCode:
        plain = Target(target.tensors, alive=target.alive)
        sizes = {name: size.clamp(min=0) for name, size in magnitudes(plain).items()}
        weights = side_by_side(diagonals(target)) if target.metrics else None
        if self.form == "penalty":
            flat = softened(side_by_side(sizes), self._price(target), weights)
        else:
            assert self.kappa is not None
            flat = onto_ball(side_by_side(sizes), self.kappa, weights)
        shrunk = taken_apart(flat, sizes)
        masks = {name: size > 0 for name, size in shrunk.items()}
        values = {
            name: torch.copysign(shrunk[name][mask], target.tensors[name].detach()[mask]).to(target.tensors[name].dtype)
            for name, mask in masks.items()
        }
        return SparseCode(masks, values, target.alive)

    def _fine_grained(self, target: Target, pattern: FineGrained) -> SparseCode:
        scores = standing(target)
        masks = reconsidered(target, {name: pattern.mask(score) for name, score in scores.items()}, pattern)
        return SparseCode(masks, refitted(target, masks), target.alive, dict.fromkeys(masks, pattern))

    def _by_groups(self, target: Target, pattern: Pattern) -> SparseCode:
        magnitude = magnitudes(target)
        groups = {
            name: groups_of(labels_of(pattern, tuple(t.shape)).to(t.device), target.alive.get(name))
            for name, t in target.tensors.items()
        }
        score = criterion_of("l2" if self.criterion == "magnitude" else self.criterion)
        scores = torch.cat([mine.scores(magnitude[name], score) for name, mine in groups.items()])
        if self.form == "penalty":
            sizes = torch.cat([mine.numbered_sizes() for mine in groups.values()])
            chosen = scores.square() > 2 * self._price(target) * sizes
        else:
            chosen = largest(scores, self._kept(len(scores)))
        masks = group_masks(groups, chosen)
        return SparseCode(masks, refitted(target, masks), target.alive, groups)


def _alive(flat: Tensor, target: Target) -> int:
    return int((flat >= 0).count_nonzero()) if target.alive else flat.numel()
