"""What a run's search is told before its first trial."""

from __future__ import annotations

from condensa_core.flow.searching import NOTHING, Beforehand, Known, level_problem
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
    """What earlier runs say, where the recipe names some; the search is described in the manifest for later ones."""
    if known is None or len(known.space.knobs) != 1:
        return NOTHING
    problem = level_problem(bench, reference, known)
    describe_search(directory, bench, problem)
    return Beforehand(expected=expectations(bench, directory, problem, journal, listener))
