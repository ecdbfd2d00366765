"""`sum: [a, b, ...]`: a weight is the sum of several small forms, such as a code book and a few corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Code, Facts, Freedom, Scheme, Target, Tensors
from condensa_core.schemes.terms import Plain, Term

_PASSES: Final = 50
# A pass that lowers the squared error by less than this share of it is the last.
_ENOUGH: Final = 1e-4


@dataclass(frozen=True, eq=False)
class SumCode:
    """One code for each summand, all over the same tensors."""

    codes: tuple[Code, ...]

    def decode(self) -> dict[str, Tensor]:
        """The sum of what the codes stand for."""
        return _sum([code.decode() for code in self.codes])

    def bits(self) -> int:
        """Those of all summands."""
        return sum(code.bits() for code in self.codes)

    def structure_bits(self) -> int:
        """All: nothing of a sum is left to compress."""
        return self.bits()

    def arrays(self) -> dict[str, Tensor]:
        """What every code stores, prefixed by its position."""
        return {f"{i}.{name}": t for i, code in enumerate(self.codes) for name, t in code.arrays().items()}

    def same_structure(self, other: object) -> bool:
        """Whether every summand has the structure of its counterpart."""
        return isinstance(other, SumCode) and all(
            a.same_structure(b) for a, b in zip(self.codes, other.codes, strict=True)
        )

    def values(self) -> Target:
        """Nothing: compose the summands instead."""
        return Target({})

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """The sum; there are no values."""
        return self.decode()

    def freedom(self) -> Freedom:
        """An entry moves as its `owner` says."""
        owners, free = self.owners(), [code.freedom() for code in self.codes]
        labels, signs = {}, {}
        for name, owner in owners.items():
            held = torch.zeros(owner.shape, dtype=torch.int32, device=owner.device)
            label, sign = held, torch.ones_like(held, dtype=torch.int8)
            for at, one in enumerate(free):
                # Summands share nothing: their numbers are told apart.
                own = torch.where(one.labels[name] > 0, one.labels[name] * len(free) + at, one.labels[name])
                label = torch.where(owner == at, own, label)
                if name in one.signs:
                    sign = torch.where(owner == at, one.signs[name], sign)
            labels[name], signs[name] = label, sign
        return Freedom(labels, signs)

    def owners(self) -> dict[str, Tensor]:
        """By tensor: the position of the summand through which each entry moves, -1 where it is held.

        The first in which the entry moves on its own, else the first in which it shares a number.
        """
        owners = {}
        free = [code.freedom() for code in self.codes]
        for name, first in free[0].labels.items():
            owner = torch.full(first.shape, -1, dtype=torch.int32, device=first.device)
            for wanted in (torch.lt, torch.gt):
                for at, one in enumerate(free):
                    owner[(owner < 0) & wanted(one.labels[name], 0)] = at
            owners[name] = owner
        return owners

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """The pieces of every summand."""
        several = [code.terms() for code in self.codes]
        return {name: tuple(term for terms in several for term in terms[name]) for name in several[0]}

    def moved_terms(self, moves: Tensors) -> dict[str, tuple[Term, ...]]:
        """`terms()` after the tensors moved by `moves`, within `freedom()`.

        Numbers that entries share move for all of them, also for those that another summand owns, so that a code book
        keeps its size; what is left goes to the summand whose entries move on their own.
        """
        owners, left = self.owners(), {name: move.clone() for name, move in moves.items()}
        own: list[dict[str, Tensor]] = [{} for _ in self.codes]
        for at, code in enumerate(self.codes):
            free = code.freedom()
            for name, move in _shared_moves(free, owners, moves, at).items():
                own[at][name] = move
                left[name] -= move
        for at in range(len(self.codes)):
            for name, owner in owners.items():
                alone = (owner == at) & (self.codes[at].freedom().labels[name] < 0)
                own[at][name] = own[at].get(name, torch.zeros_like(left[name])) + torch.where(alone, left[name], 0)
        moved: dict[str, list[Term]] = {name: [] for name in owners}
        for at, code in enumerate(self.codes):
            dense, terms = code.decode(), code.terms()
            for name in owners:
                moved[name] += [Plain(dense[name] + own[at][name])] if own[at][name].any() else list(terms[name])
        return {name: tuple(terms) for name, terms in moved.items()}


def _shared_moves(free: Freedom, owners: Tensors, moves: Tensors, at: int) -> dict[str, Tensor]:
    """How far the shared numbers of summand `at` moved, at every entry that has one, by tensor."""
    labels = torch.cat([label.flatten() for label in free.labels.values()]).long()
    every = [free.signs.get(name, torch.ones_like(label)) for name, label in free.labels.items()]
    signs = torch.cat([sign.flatten() for sign in every]).double()
    move = torch.cat([moves[name].flatten() for name in free.labels]).double() * signs
    mine = (labels > 0) & (torch.cat([owners[name].flatten() for name in free.labels]) == at)
    if not mine.any():
        return {}
    size = int(labels.max()) + 1
    total = torch.zeros(size, dtype=torch.float64, device=move.device).index_add_(0, labels[mine], move[mine])
    amount = total / torch.bincount(labels[mine], minlength=size).clamp_min(1)
    shared = torch.where(labels > 0, amount[labels.clamp_min(0)], 0) * signs
    parts = shared.split([label.numel() for label in free.labels.values()])
    return {
        name: part.to(moves[name].dtype).view(label.shape)
        for (name, label), part in zip(free.labels.items(), parts, strict=True)
    }


@dataclass(frozen=True)
class Sum:
    """min ||w - Delta_1(Theta_1) - ... - Delta_n(Theta_n)||^2 by turns: each scheme projects what the others leave.

    Every turn is a projection, so the error does not grow where these are exact; the end is a local minimum, reached
    when a pass gains less than one part in 10,000. It starts from the first scheme alone, so that it depends on nothing
    but the target.
    Source: Idelbayev and Carreira-Perpinan, "Beyond FLOPs in low-rank compression" and "More general and effective
    model compression via an additive combination of compressions", ECML 2021.
    """

    schemes: tuple[Scheme, ...]

    name: ClassVar[str] = "sum"
    facts: ClassVar[Facts] = Facts(
        summary="a weight is the sum of several small forms",
        source="Idelbayev and Carreira-Perpinan, ECML 2021",
        structure="value",
        exact=False,
        shrinks_file="as its members together, in the packed file",
        speeds_up="none: runtimes compute with the dense sum",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        if len(self.schemes) < 2:
            raise SchemeError("a sum needs at least two schemes")
        for scheme in self.schemes:
            if scheme.facts.structure == "channel":
                raise SchemeError(
                    f"{scheme.name} cannot be a summand: what it removes, another would put back",
                    hint=f"compose them: [{scheme.name}, sum]",
                )

    def project(self, target: Target) -> SumCode:
        """Turns until nothing is gained; the best of them if a member is no exact projection."""
        decoded: list[dict[str, Tensor]] = [
            {name: torch.zeros_like(t) for name, t in target.tensors.items()} for _ in self.schemes
        ]
        codes: list[Code | None] = [None] * len(self.schemes)
        best: tuple[float, tuple[Code, ...]] | None = None
        for _ in range(_PASSES):
            for at, scheme in enumerate(self.schemes):
                others = _sum([d for i, d in enumerate(decoded) if i != at])
                left = {name: t.detach() - others[name] for name, t in target.tensors.items()}
                codes[at] = code = scheme.project(replace(target, tensors=left))
                decoded[at] = code.decode()
            error = _error(target, _sum(decoded))
            if best is not None and not error < best[0] * (1 - _ENOUGH):
                break
            best = error, tuple(code for code in codes if code is not None)
        assert best is not None
        return SumCode(best[1])


def _sum(several: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in several]).sum(0) for name in several[0]}


def _error(target: Target, dense: Tensors) -> float:
    total = 0.0
    for name, tensor in target.tensors.items():
        difference = (tensor.detach() - dense[name]).double()
        metric = target.metrics.get(name)
        total += float(difference.square().sum() if metric is None else metric.error(difference))
    return total
