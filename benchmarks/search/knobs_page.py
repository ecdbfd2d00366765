"""Figures of the plays over several knobs, and their page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import numpy as np

TARGETS: Final = {"4": ("20", 0.95), "8": ("30", 0.93)}  # knobs: after so many runs, median share of the optimum
_NOISE = 0.1  # points of accuracy: a miss within one training's noise

Play = Mapping[str, Any]


def kept_share(standing: Mapping[str, Any]) -> float:
    """The share of the optimum, none where the return breaks the level by more than the noise of one training."""
    return float(standing["share"]) if standing["margin"] >= -_NOISE else 0.0


def figures(plays: Sequence[Play], curve: Sequence[Play]) -> dict[str, Any]:
    """Per number of runs: shares of the optimum, and how returns keep the level; then runs and CPU seconds used.

    `below_curve` counts tasks whose return is more than 1 % worse than that of the allocation curve alone.
    """
    found: dict[str, Any] = {"tasks": len(plays)}
    for n in plays[0]["standings"]:
        standings = [play["standings"][n] for play in plays]
        shares = [kept_share(s) for s in standings]
        along = [kept_share(play["standings"][n]) for play in curve]
        found[n] = {
            "median": median(shares),
            "worst": min(shares),
            "shares": shares,
            "infeasible": sum(s["margin"] < 0 for s in standings),
            "clearly_infeasible": sum(s["margin"] < -_NOISE for s in standings),
            "below_curve": sum(a > b + 0.01 for a, b in zip(along, shares, strict=False)),
            "median_over_curve": median(b - a for a, b in zip(along, shares, strict=False)) if along else None,
        }
    later = [seconds for play in plays for seconds in play["cpu_s"][-5:]]
    stops = [play["stop"] for play in plays]
    found["stop"] = {"runs": float(np.mean([s["runs"] for s in stops])), "median": median(map(kept_share, stops))}
    found["cpu_s"] = {"median_of_last_five": median(later), "p90_of_last_five": float(np.quantile(later, 0.9))}
    return found


def page(result: Mapping[str, Any]) -> str:
    """Markdown of a result as `many_knobs.py` writes it."""
    parts = [
        f"# The search over several knobs\n\n`{result['command']}`, {result['date']}, seed {result['seed']}.\n",
        "Share of the true optimum that is returned, median (worst) over the tasks; a return that breaks the level by"
        " more than 0.1 points counts as none. Infeasible: returns below the level, and in brackets by more than 0.1"
        " points. Below the curve: tasks whose return is more than 1 % worse than the allocation curve's. Searches may"
        " not stop before the last run, but for the two columns of the stop rule.\n",
    ]
    for knobs, contenders in result["kinds"].items():
        counts = [n for n in next(iter(contenders.values())) if n.isdigit()]
        head = [
            "",
            *(f"{n} runs" for n in counts),
            "infeasible",
            "below the curve",
            "stops after",
            "share then",
            "CPU s",
        ]
        rows = [head, ["---"] * len(head)]
        for name, found in contenders.items():
            last = found[counts[-1]]
            rows.append([
                name,
                *(f"{found[n]['median']:.3f} ({found[n]['worst']:.2f})" for n in counts),
                f"{last['infeasible']} ({last['clearly_infeasible']}) of {found['tasks']}",
                "" if name == "curve" else f"{last['below_curve']}",
                f"{found['stop']['runs']:.1f}",
                f"{found['stop']['median']:.3f}",
                f"{found['cpu_s']['median_of_last_five']:.2f}",
            ])  # fmt: skip
        parts.append(f"## {knobs} knobs\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n")
        if knobs in TARGETS and "level-set" in contenders:
            n, share = TARGETS[knobs]
            reached = contenders["level-set"][n]["median"]
            verdict = "met" if reached >= share else "missed"
            parts.append(f"Target: at least {share} within {n} runs, in the median: {reached:.3f}, {verdict}.\n")
    return "\n".join(parts)
