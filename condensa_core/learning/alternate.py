"""The L-C loop, about the length of the paper's pseudo-code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from condensa_core.schemes import Code, Part, Tensors, only_channels


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where the loop stands after a C step. `step` 0 is direct compression: no learning has happened yet."""

    step: int
    mu: float
    shifted: dict[str, Tensor]  # w - lambda/mu, what was projected: the codes can be made from it again
    codes: tuple[Code, ...]
    theta: dict[str, Tensor]  # Delta(Theta)
    distance: float  # ||w - Delta(Theta)|| / ||w|| over the compressed weights
    settled: bool  # same masks, units or assignments as in the step before


def c_step(
    weights: Tensors, parts: Sequence[Part], mu: float | None = None
) -> tuple[tuple[Code, ...], dict[str, Tensor]]:
    """Theta = argmin cost(Theta) + mu/2 ||weights - Delta(Theta)||^2 for every part, and Delta(Theta).

    Most schemes cost nothing, whatever mu; those that do refuse to be projected without it (SchemeError).
    """
    codes = tuple(part.scheme.project(part.target(weights, mu)) for part in parts)
    theta: dict[str, Tensor] = {}
    # Parts share a tensor where units of several families lie in it, or where channels carry along what another part
    # codes (depthwise weights, norms). What any of them removes is zero; what survives is as the coding part says.
    for code in sorted(codes, key=only_channels, reverse=True):
        for name, value in code.decode().items():
            theta[name] = torch.where(theta[name] == 0, theta[name], value) if name in theta else value
    return codes, theta


def mu_of(ladder: Sequence[float], step: int) -> float | None:
    """mu of the C step after L step `step`. Direct compression, step 0, pays for what it keeps as step 1 will."""
    return ladder[max(step, 1) - 1] if ladder else None


@torch.no_grad()
def alternate(
    weights: Mapping[str, Tensor],
    parts: Sequence[Part],
    ladder: Sequence[float],
    learn: Callable[[int, float, dict[str, Tensor]], None],
    multipliers: dict[str, Tensor],
    *,
    start: int = 0,
    earlier: Tensors | None = None,
) -> Iterator[Iterate]:
    """min over w, Theta of L(w) subject to w = Delta(Theta), by the augmented Lagrangian; one Iterate for each C step.

    `weights` are the live parameters; `learn(step, mu, target)` must move them towards the minimum of
    L(w) + mu/2 ||w - target||^2 in place. `ladder` holds mu of steps 1, 2, ... `multipliers` (lambda, zero at
    first) are updated in place: lambda <- lambda - mu (w - Delta(Theta)). With `start` = j > 0 the loop resumes:
    `weights` are those after L step j, `multipliers` those before its update, `earlier` what step j - 1 projected; C
    step j is done again, which is deterministic.
    Source: Carreira-Perpinan, arXiv:1707.01209, figure 2.
    """
    before = c_step(earlier, parts, mu_of(ladder, start - 1))[0] if earlier else None
    theta: dict[str, Tensor] = {}
    for step in range(start, len(ladder) + 1):
        mu = ladder[step - 1] if step else 0.0
        if step > start:
            learn(step, mu, {name: theta[name] + multipliers[name] / mu for name in theta})
        shifted = {n: w - multipliers[n] / mu if step else w.detach().clone() for n, w in weights.items()}
        codes, theta = c_step(shifted, parts, mu_of(ladder, step))
        yield Iterate(step, mu, shifted, codes, theta, _distance(weights, theta), _same(codes, before))
        for name, value in theta.items():
            multipliers[name].sub_(weights[name] - value, alpha=mu)
        before = codes


def _distance(weights: Mapping[str, Tensor], theta: Tensors) -> float:
    if not theta:  # knobs that leave every weight alone
        return 0.0
    gap = torch.stack([(weights[n] - t).double().square().sum() for n, t in theta.items()]).sum()
    size = torch.stack([weights[n].double().square().sum() for n in theta]).sum()
    return float((gap / size.clamp_min(torch.finfo(torch.float64).tiny)).sqrt())


def _same(codes: tuple[Code, ...], before: tuple[Code, ...] | None) -> bool:
    return before is not None and all(a.same_structure(b) for a, b in zip(codes, before, strict=True))
