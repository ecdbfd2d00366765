"""`lowrank`: matrices of low rank, stored as two thin factors; the rank is given, or chosen for what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.decomposition import Decomposition
from condensa_core.schemes.lowrank_code import LowRankCode
from condensa_core.schemes.matrix_view import Convolution, Factors
from condensa_core.schemes.rank_selection import Options, cheapest, within_budget

Select = Literal["flops", "storage", "latency"]


@dataclass(frozen=True)
class LowRank:
    """The nearest matrices of low rank: argmin ||W - W_r||_M^2, with r from exactly one of three.

    `rank`: r for each tensor; full where the smaller side is no longer. `energy`: the least r that keeps this fraction
    of ||W||_M^2. `select`: the ranks of all tensors at once, by what they cost: numbers to store, r (m + n);
    multiplications, `uses` times as many; or `latency`, the seconds of `rank_costs`. The dense matrix is always among
    the choices, so no factors cost more than it. Either

    - `alpha`: min alpha * cost + mu/2 ||W - W_r||_M^2 for each tensor, within the L-C algorithm; or
    - `budget`: min sum ||W - W_r||_M^2 with the costs at most that fraction of the dense tensors' together,

    exactly; of equals the cheaper. So alpha is the price of one stored number, one multiplication or one second of an
    inference. A price may leave rank 0, the zero matrix; a budget leaves every matrix at least rank 1 where that can be
    paid for, since a network whose signal meets a zero matrix computes nothing. In a convolution by "kernel", both
    layers are counted at the output's positions; of grouped convolutions, the factors are counted as they are stored,
    with one right factor for all groups.

    In a run, `latency` is measured once, on the target of the objective: each layer alone with all its channels, in
    float32, at the target's batch and threads, dense and as two layers of a few ranks, in turns; what any call of the
    runtime takes is subtracted. Layers that cannot become two (recurrent, attention, tied) stay dense and do not count.
    Where the layers will compute in integers the plan warns of it (W217); where another rule removes some of their
    channels it refuses (E216).

    A tensor is seen as the matrix of `view_of`. With `rank` and `energy`, factors that would hold no fewer numbers than
    the matrix are multiplied out. A projection repeated gives the same up to rounding, but `energy` is a fraction of
    what it finds, and takes a fraction of it again.
    Source: Idelbayev and Carreira-Perpinan, "Low-rank compression of neural nets: learning the rank of each layer",
    CVPR 2020, with the dense branch it leaves out; metrics: `TruncatedSvd`.
    """

    rank: int | None = None
    energy: float | None = None
    select: Select | None = None
    alpha: float | None = None
    budget: float | None = None
    convolution: Convolution = "output"

    name: ClassVar[str] = "lowrank"
    facts: ClassVar[Facts] = Facts(
        summary="matrices are products of two thin ones",
        source="Idelbayev and Carreira-Perpinan, CVPR 2020; SVD-LLM, arXiv:2403.07378",
        structure="rank",
        exact=True,
        shrinks_file="to r (m + n) numbers instead of m n where a layer becomes two, else in the packed file alone",
        speeds_up="yes where a layer becomes two and the rank is below half of break-even, m n / (m + n)",
        metrics=frozenset(("diagonal", "gram")),
    )

    def __post_init__(self) -> None:
        given = [name for name in ("rank", "energy", "select") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise SchemeError(f"lowrank takes exactly one of rank, energy and select, got {found}")
        if self.rank is not None and (isinstance(self.rank, bool) or self.rank != int(self.rank) or self.rank < 0):
            raise SchemeError(f"lowrank: rank must be a whole number from 0, got {self.rank}")
        if self.energy is not None and not 0 < self.energy <= 1:
            raise SchemeError(f"lowrank: energy {self.energy:g} is outside (0, 1]", hint=_percent(self.energy))
        if self.select not in (None, "flops", "storage", "latency"):
            raise SchemeError(f"lowrank: select {self.select!r} is not known", hint="known: flops, storage, latency")
        if self.select is None and (self.alpha is not None or self.budget is not None):
            raise SchemeError("lowrank: alpha and budget go with select", hint="choose flops, storage or latency")
        if self.select is not None and (self.alpha is None) == (self.budget is None):
            raise SchemeError("lowrank: select needs exactly one of budget and alpha")
        if self.alpha is not None and not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise SchemeError(f"lowrank: alpha must be above 0, got {self.alpha:g}")
        if self.budget is not None and not 0 < self.budget <= 1:
            raise SchemeError(f"lowrank: budget {self.budget:g} is outside (0, 1]", hint=_percent(self.budget))
        if self.convolution not in ("output", "kernel"):
            raise SchemeError(f"lowrank: convolution {self.convolution!r} is not known", hint="known: output, kernel")

    def project(self, target: Target) -> LowRankCode:
        """Every best approximation of every matrix from one decomposition each, then the ranks."""
        if self.alpha is not None and not (target.mu is not None and target.mu > 0):
            raise SchemeError("lowrank: alpha weighs cost against mu, which is not set here", hint="use budget")
        matrices = [Decomposition.of(name, target, self.convolution) for name in target.tensors]
        ranks = self._ranks(matrices, target)
        return _code(matrices, ranks, target)

    def _ranks(self, matrices: Sequence[Decomposition], target: Target) -> list[int]:
        if self.rank is not None:
            return [min(int(self.rank), one.full) for one in matrices]
        if self.energy is not None:
            lost = 1 - Fraction(repr(float(self.energy)))
            errors = [one.scaled_errors for one in matrices]
            return [int(np.argmax(error <= float(lost) * error[0])) for error in errors]
        options = [self._options(one, target) for one in matrices]
        if self.alpha is not None:
            assert target.mu is not None
            return [cheapest(one, self.alpha, target.mu) for one in options]
        assert self.budget is not None
        dense = sum(float(one.costs[-1]) for one in options)
        ranks = within_budget([one.without_zero() for one in options], self.budget * dense)
        ranks = within_budget(options, self.budget * dense) if ranks is None else ranks
        if ranks is None:
            least = sum(float(one.costs.min()) for one in options) / dense
            raise SchemeError(
                f"lowrank: no ranks cost {self.budget:g} of the dense tensors", hint=f"the least is {least:.3g}"
            )
        return ranks

    def _options(self, matrix: Decomposition, target: Target) -> Options:
        """Rank 0, 1, ..., as far as it can pay, and the dense tensor last."""
        (m, n), errors = matrix.size, matrix.errors
        if self.select == "latency":
            costs = target.rank_costs.get(matrix.name, ())
            if len(costs) < 2 or not all(cost >= 0 and math.isfinite(cost) for cost in costs):
                raise SchemeError(
                    f"lowrank: select latency needs the measured cost of each rank of {matrix.name}",
                    hint="a cost for rank 0, 1, ..., and for the dense tensor last, none negative",
                )
            ranks = range(min(len(costs) - 1, self._paying(matrix)))
            measured = np.array([*costs[: len(ranks)], costs[-1]], dtype=np.float64)
            return Options((*ranks, matrix.full), measured, errors[[*ranks, -1]])
        each = target.uses.get(matrix.name, 1.0) if self.select == "flops" else 1.0
        ranks = range(self._paying(matrix))
        counted = each * np.array([*(r * (m + n) for r in ranks), m * n], dtype=np.float64)
        return Options((*ranks, matrix.full), counted, errors[[*ranks, -1]])

    @staticmethod
    def _paying(matrix: Decomposition) -> int:
        """The first rank whose factors hold no fewer numbers than the matrix."""
        m, n = matrix.size
        return min(matrix.full, -(-m * n // (m + n)) if m + n else 0)


def _code(matrices: Sequence[Decomposition], ranks: Sequence[int], target: Target) -> LowRankCode:
    factors: dict[str, Factors] = {}
    dense: dict[str, Tensor] = {}
    alive: dict[str, Tensor] = {}
    for matrix, rank in zip(matrices, ranks, strict=True):
        name, (m, n) = matrix.name, matrix.size
        if not rank or rank * (m + n) < m * n:  # never of full rank
            factors[name] = matrix.factors(rank)
        else:
            dense[name] = matrix.dense() if rank == matrix.full else matrix.factors(rank).dense()
        if matrix.alive is not None:
            rows, columns = matrix.alive
            alive[name] = target.alive[name]
            alive[f"{name}.left"] = rows[:, None].expand(-1, rank)
            alive[f"{name}.right"] = columns.expand(rank, -1)
    return LowRankCode(
        ranks={matrix.name: rank for matrix, rank in zip(matrices, ranks, strict=True)},
        factors=factors,
        dense=dense,
        held=frozenset(m.name for m, rank in zip(matrices, ranks, strict=True) if rank < m.full),
        alive=alive,
        uses={name: count for name, count in target.uses.items() if name in target.tensors},
    )


def _percent(number: float) -> str | None:
    return f"write {number / 100:g} for {number:g}%" if 1 < number <= 100 else None
