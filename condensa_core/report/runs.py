"""Every run under a folder, in a few figures each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from condensa_core.errors import UsageError
from condensa_core.report.ending import RESULT, read_result
from condensa_core.report.outcome import Outcome
from condensa_core.report.quantities import bytes_text, metric_text, quantity_text
from condensa_core.report.tables import Table
from condensa_core.report.unfinished import JOURNAL, how_far

# One of these files makes a folder the directory of a run.
MARKS = (RESULT, "manifest.json", JOURNAL)


@dataclass(frozen=True)
class RunSummary:
    """A run directory with how its run ended: the status of its outcome or of what ended it before, or `unfinished`
    where nothing is known of that, or `damaged`.

    The figures are those of what ships, `ratio` how many times better than the reference; None where there are none.
    """

    path: str
    status: str
    trials: int
    metric: str = ""
    value: float | None = None
    ratio: float | None = None
    bytes: int | None = None


def is_run(folder: Path) -> bool:
    """Whether a folder is the directory of a run."""
    return any((folder / mark).is_file() for mark in MARKS)


def runs_under(folder: Path) -> tuple[RunSummary, ...]:
    """The runs in a folder of runs, or one above it (`runs/<name>/<run>` or `<name>/<run>`), by name and time.

    UsageError if the folder cannot be read.
    """
    try:
        found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_dir() and is_run(path)]
    except OSError as err:
        raise UsageError(
            f"{folder} cannot be read: {err.strerror}", hint="look at the permissions of the folder"
        ) from err
    return tuple(summary(path) for path in sorted(found))


def summary(run: Path) -> RunSummary:
    """A run directory in a few figures; what cannot be read is told as damaged."""
    try:
        found = read_result(run / RESULT) if (run / RESULT).is_file() else None
        if isinstance(found, Outcome):
            return _finished(str(run), found)
        so_far = how_far(run, found)
        return RunSummary(str(run), so_far.status, len(so_far.trials))
    except UsageError:
        return RunSummary(str(run), "damaged", 0)


def runs_table(runs: tuple[RunSummary, ...]) -> Table:
    """One row a run; the metric is the one that the run's constraint bounds."""
    rows = tuple(
        (
            run.path,
            run.status,
            str(run.trials),
            f"{run.metric} {metric_text(run.metric, run.value)}".strip(),
            quantity_text(run.ratio, "x"),
            bytes_text(run.bytes),
        )
        for run in runs
    )
    return Table("", ("run", "status", "trials", "metric", "ratio", "file"), rows)


def _finished(path: str, outcome: Outcome) -> RunSummary:
    bound, best = outcome.constraint, outcome.best
    return RunSummary(
        path,
        outcome.status,
        len(outcome.trials),
        bound.metric if bound else "",
        bound.value if bound else None,
        best.ratio.value if best and best.ratio else None,
        best.bytes if best else None,
    )
