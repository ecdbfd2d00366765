"""The figures as a page: targets first, bisection beside everything, then each number of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from figures import CHECKED, SMOOTH_TARGETS, STAIR_TARGETS, Figures, Target


def page(result: Mapping[str, Any]) -> str:
    """Markdown of a result as `one_knob.py` writes it."""
    parts = [f"# The search on one knob\n\n`{result['command']}`, {result['date']}, seed {result['seed']}.\n"]
    smooth, stairs, published = (result["kinds"].get(kind) for kind in ("smooth", "stairs", "vgg19"))
    if smooth:
        parts += [
            "## Smooth objectives\n",
            _tasks_told(smooth),
            _targets(smooth, SMOOTH_TARGETS),
            *(_after(smooth, n) for n in ("4", "5", "6", "8", "10")),
            _stopping(smooth),
            _by(smooth, "by_family", "family", lambda f: f["by_family"]),
            _by(smooth, "noise", "noise", lambda f: f["8"]["by_noise"]),
            _calibration(smooth),
        ]
    if stairs:
        parts += [
            "## Staircases\n",
            _tasks_told(stairs),
            _targets(stairs, STAIR_TARGETS),
            *(_after(stairs, n) for n in ("5", "10")),
        ]
    if published:
        parts += ["## The published VGG-19 curve\n", _published(published)]
    return "\n".join(parts)


def _tasks_told(kind: Mapping[str, Figures]) -> str:
    count = max(f["tasks"] for f in kind.values())
    return f"{count} tasks. Every strategy's answer is that of the one return rule, except in the rows called plain.\n"


def _targets(kind: Mapping[str, Figures], targets: Sequence[Target]) -> str:
    """Each target against every contender; what misses it is marked."""
    rows = []
    for target in targets:
        limit = "itself" if callable(target.bound) else target.form.format(target.bound)
        rows.append([target.what, limit, *(_cell(target, found) for found in kind.values())])
    return _table(["figure (✗: target missed)", "target", *kind], rows)


def _cell(target: Target, found: Figures) -> str:
    if not target.known(found):
        return ""
    return target.shown(found) + ("" if target.met(found) else " ✗")


def _after(kind: Mapping[str, Figures], count: str) -> str:
    rows = []
    for name, found in sorted(kind.items(), key=lambda item: float(item[1][count]["loss"])):
        f = found[count]
        rows.append([
            name, f"{f['error']:.4f} / {f['error_p90']:.3f}", f"{f['regret']:.1%} / {f['regret_p90']:.0%}",
            f"{f['infeasible']:.0%} ({f['clearly_infeasible']:.0%})", f"{f['loss']:.3f}",
        ])  # fmt: skip
    heads = ["strategy", "error of the level", "regret", "infeasible (by > 0.1 points)", "loss"]
    return f"### After {count} runs (median / 90th percentile)\n\n" + _table(heads, rows)


def _stopping(kind: Mapping[str, Figures]) -> str:
    rows = []
    for name, found in kind.items():
        if "stop" in found:
            s, cpu = found["stop"], found["cpu_s"]
            rows.append([
                name, f"{s['runs']:.1f} / {s['runs_p90']:.0f}", f"{s['error']:.4f}", f"{s['regret']:.1%}",
                f"{s['infeasible']:.0%}", f"{s['loss']:.3f}", f"{found['8']['loss']:.3f}", f"{found['12']['loss']:.3f}",
                f"{cpu['median']:.3f} / {cpu['p95']:.3f}",
            ])  # fmt: skip
    heads = ["strategy", "runs (mean / p90)", "error", "regret", "infeasible", "loss", "loss of fixed 8", "of fixed 12"]
    return f"### With the stop rule (of {CHECKED[-1]} runs), and CPU\n\n" + _table(
        [*heads, "CPU-s a suggestion (median / p95)"], rows
    )


def _by(kind: Mapping[str, Figures], what: str, title: str, groups: Callable[[Figures], Mapping[str, Figures]]) -> str:
    count = "5" if what == "by_family" else "8"
    names = list(groups(next(iter(kind.values()))))
    rows = []
    for name, found in kind.items():
        cells = [groups(found)[n] for n in names]
        rows.append([name, *(f"{c['error']:.4f} / {c['error_p90']:.3f}; {c['infeasible']:.0%}" for c in cells)])
    return f"### Error of the level and infeasible returns after {count} runs, by {title}\n\n" + _table(
        ["strategy", *names], rows
    )


def _calibration(kind: Mapping[str, Figures]) -> str:
    rows = []
    for name, found in kind.items():
        for count in ("4", "8"):
            if "brier" not in found[count]:
                continue
            counted, held = found[count]["bins"]
            shares = [f"{h / c:.2f}" if c else "" for c, h in zip(counted, held, strict=True)]
            rows.append([name, count, f"{found[count]['brier']:.4f}", *shares])
    heads = ["trials by", "runs", "Brier", "P < .1", ".1-.3", ".3-.5", ".5-.7", ".7-.9", "> .9"]
    return "### P(feasible) within .5 of the crossing in t: share that is feasible\n\n" + _table(heads, rows)


def _published(published: Mapping[str, Any]) -> str:
    drops = list(published["targets"])
    rows = [
        [name, known, *(" / ".join(f"{v:.0f}" for v in by_drop[d]) for d in drops)]
        for name, found in published["speeds"].items()
        for known, by_drop in found.items()
    ]
    target = ["target", "", *(f"{published['targets'][d]} / " for d in drops)]
    return "Frames per second of what is returned after 5 / 10 runs, by drop in points.\n\n" + _table(
        ["strategy", "objective", *drops], [target, *rows]
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
