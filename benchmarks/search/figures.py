"""What many plays amount to: medians, shares, and whether the targets are met."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any, Final

import numpy as np
from playing import CHECKED

Played = dict[str, Any]  # of one task: family, noise, drop, and what `play` gives
Figures = dict[str, Any]


def figures(plays: Sequence[Played]) -> Figures:
    """The figures of one contender over all its tasks, by number of runs and with the stop rule."""
    found: Figures = {"tasks": len(plays)}
    for count in map(str, CHECKED):
        standings = [p["standings"][count] for p in plays]
        found[count] = {**_spread(standings), "by_noise": _by(plays, "noise", count)}
        if "brier" in standings[0]:
            found[count]["brier"] = mean(s["brier"] for s in standings)
            found[count]["bins"] = np.sum([s["bins"] for s in standings], axis=0).tolist()
    if all(p["stop"] is not None for p in plays):
        runs = [p["stop"]["runs"] for p in plays]
        found["stop"] = {"runs": mean(runs), "runs_p90": _p90(runs), **_spread([p["stop"] for p in plays])}
        quiet = [p for p in plays if p["noise"] == 0]
        found["stop"]["long"] = mean([p["stop"]["runs"] > _halvings(p["records"]) + 2 for p in quiet] or [0])
    found["by_family"] = _by(plays, "family", "5")
    cpu = [second for p in plays for second in p["cpu_s"]]
    found["cpu_s"] = {"median": median(cpu), "p95": float(np.quantile(cpu, 0.95)), "max": max(cpu)}
    return found


def plainly(plays: Sequence[Played]) -> list[Played]:
    """The same plays answered without a model: the strongest that measured feasible is shipped."""
    plain = []
    for played in plays:
        standings = {count: standing["plain"] for count, standing in played["standings"].items()}
        plain.append({**played, "standings": standings, "stop": None})
    return plain


def _halvings(records: int) -> int:
    return math.ceil(math.log2(max(records, 1)))


def _spread(standings: Sequence[dict[str, Any]]) -> Figures:
    errors = [s["error"] for s in standings]
    regrets = [s["regret"] for s in standings if s["regret"] is not None] or [1.0]  # no truly feasible return: all lost
    return {
        "error": median(errors),
        "error_p90": _p90(errors),
        "regret": median(regrets),
        "regret_p90": _p90(regrets),
        "infeasible": mean(s["infeasible"] for s in standings),
        "clearly_infeasible": mean(s["infeasible"] and s["miss"] > 0.001 for s in standings),
        "loss": mean(s["loss"] for s in standings),
    }


def _by(plays: Sequence[Played], key: str, count: str) -> dict[str, Figures]:
    kinds = sorted({p[key] for p in plays})
    return {str(kind): _spread([p["standings"][count] for p in plays if p[key] == kind]) for kind in kinds}


def _p90(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.9))


@dataclass(frozen=True)
class Target:
    """A figure that must not exceed a bound."""

    what: str
    of: Callable[[Figures], float]
    bound: float | Callable[[Figures], float]
    form: str = "{:.4f}"

    def known(self, found: Figures) -> bool:
        """Whether these figures have it: a strategy may have no stop rule, an answer no probability."""
        try:
            self.of(found)
        except KeyError:
            return False
        return True

    def met(self, found: Figures) -> bool:
        return self.of(found) <= self.limit(found)

    def limit(self, found: Figures) -> float:
        return self.bound(found) if callable(self.bound) else self.bound

    def shown(self, found: Figures) -> str:
        return self.form.format(self.of(found))


def _at(count: int, key: str) -> Callable[[Figures], float]:
    return lambda found: found[str(count)][key]


def _at_noise(count: int, noise: float) -> Callable[[Figures], float]:
    return lambda found: found[str(count)]["by_noise"].get(str(noise), {"infeasible": 0.0})["infeasible"]


_SHARE = "{:.1%}"
SMOOTH_TARGETS: Final = (
    *(Target(f"error of level, median, {n} runs", _at(n, "error"), b) for n, b in ((5, 0.005), (6, 0.003), (8, 0.002))),
    *(Target(f"error of level, p90, {n} runs", _at(n, "error_p90"), b) for n, b in ((5, 0.05), (6, 0.025), (8, 0.012))),
    *(Target(f"regret, median, {n} runs", _at(n, "regret"), b, _SHARE) for n, b in ((5, 0.06), (6, 0.035), (8, 0.02))),
    *(Target(f"infeasible, no noise, {n} runs", _at_noise(n, 0.0), 0.0, _SHARE) for n in (5, 6, 8)),
    *(Target(f"infeasible, noise 0.1 %, {n} runs", _at_noise(n, 0.001), 0.05, _SHARE) for n in (5, 6, 8)),
    *(Target(f"infeasible, all, {n} runs", _at(n, "infeasible"), 0.1, _SHARE) for n in (5, 6, 8)),
    Target("Brier score of P(feasible), 4 runs", _at(4, "brier"), 0.08),
    Target("Brier score of P(feasible), 8 runs", _at(8, "brier"), 0.02),
    Target("runs until it stops, mean", lambda f: f["stop"]["runs"], 8, "{:.2f}"),
    Target("loss with the stop rule, against a fixed 8", lambda f: f["stop"]["loss"], _at(8, "loss"), "{:.3f}"),
    Target("CPU seconds for a suggestion, p95", lambda f: f["cpu_s"]["p95"], 0.5, "{:.3f}"),
)
STAIR_TARGETS: Final = (
    Target("regret, median, 5 runs", _at(5, "regret"), 0.0, _SHARE),
    Target("regret, p90, 5 runs", _at(5, "regret_p90"), 0.05, _SHARE),
    Target("regret, median, 10 runs", _at(10, "regret"), 0.0, _SHARE),
    Target("regret, p90, 10 runs", _at(10, "regret_p90"), 0.02, _SHARE),
    Target("quiet tasks that take over log2(records) + 2", lambda f: f["stop"]["long"], 0.0, _SHARE),
)
