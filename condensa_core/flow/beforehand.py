"""What a run's search is told before its first trial."""

from __future__ import annotations

from condensa_core.flow.searching import NOTHING, Beforehand, Known, level_problem
from condensa_core.flow.short_runs import short_readings
from condensa_core.flow.trial import Judged
from condensa_core.flow.warm_starting import describe_search, expectations
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Listener
from condensa_core.run_directory import RunDirectory
from condensa_core.search import Journal


def told_beforehand(
    bench: Workbench,
    directory: RunDirectory,
    reference: Judged,
    known: Known | None,
    journal: Journal,
    listener: Listener,
) -> Beforehand:
    """What earlier runs and short ones say, where the recipe asks for them.

    The search is described in the manifest, for later runs.
    """
    if known is None or len(known.space.knobs) != 1:
        return NOTHING
    problem = level_problem(bench, reference, known)
    describe_search(directory, bench, problem)
    expected = expectations(bench, directory, problem, journal, listener)
    readings, seconds = short_readings(bench, directory, reference, problem, journal.fingerprint, listener)
    return Beforehand(expected, readings, seconds)
