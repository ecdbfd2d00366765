"""Several trials of a run at once: the workbench set up again in each worker process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from condensa_core.errors import ResumeError
from condensa_core.export import OnnxFile
from condensa_core.flow.candidate import Structure, finished
from condensa_core.flow.comparable import fingerprint, recipe_in
from condensa_core.flow.objective import Objective
from condensa_core.flow.rank_costs import rank_costs
from condensa_core.flow.silent_ends import often_killed
from condensa_core.flow.trial import Evaluator, Judged
from condensa_core.flow.workbench import Workbench, bound, trained
from condensa_core.progress import Event, Listener, Note, Waiting
from condensa_core.run_directory import RunDirectory
from condensa_core.search import Evaluate, Executor, Observation, Processes, Reading, Trial
from condensa_core.workload import Evaluation, watching


@dataclass(frozen=True)
class SetUpAgain:
    """Makes, in a worker, the evaluator of the run in `folder`; ResumeError where it would not be the same.

    `file` and `val` are the reference's file and what it scored: shared, so that every trial is held against one and
    the same. With several GPUs worker i learns on the i-th, counted round.
    """

    folder: Path
    allow_python: bool
    cache_dir: Path | None
    fingerprint: str
    file: OnnxFile
    val: Evaluation
    base: float | None
    beside: int

    def __call__(self, index: int, listener: Listener) -> Evaluate:
        if torch.cuda.is_available():
            torch.cuda.set_device(index % torch.cuda.device_count())

        with self._watched(listener):
            evaluator = self._set_up(listener)

        def evaluate(trial: Trial) -> Reading:
            with self._watched(listener):
                return evaluator(trial)

        return evaluate

    def _watched(self, listener: Listener) -> AbstractContextManager[None]:
        return watching(listener, RunDirectory.open(self.folder).log)

    def _set_up(self, listener: Listener) -> Evaluate:
        def stoppable(event: Event) -> None:  # what setting up says was said by the process that asks for it
            listener(Waiting())

        found = bound(recipe_in(self.folder), allow_python=self.allow_python, listener=stoppable)
        bench = trained(found, cache_dir=self.cache_dir, run_dir=self.folder, listener=stoppable)
        if fingerprint(bench) != self.fingerprint:
            raise ResumeError(
                f"in a worker process the recipe in {self.folder} finds another model or other data than before",
                hint="code that they come from must give the same in every process",
            )
        bench = replace(bench, rank_costs=rank_costs(bench, RunDirectory.open(self.folder), stoppable))
        reference = Judged(finished(bench, bench.model, Structure({}, (), {})), self.file, self.val)
        objective = Objective.of(bench.recipe)
        return Evaluator(bench, objective, reference, self.base, self.folder, listener, beside=self.beside)


@contextmanager
def executor_of(
    evaluator: Evaluator,
    bench: Workbench,
    reference: Judged,
    base: float | None,
    folder: Path,
    count: int,
    listener: Listener,
    *,
    allow_python: bool,
    cache_dir: Path | None,
) -> Iterator[Evaluate | Executor]:
    """What carries out the trials: `evaluator` itself, or `count` worker processes where that is more than one, or
    where processes were killed in a trial as if for want of memory."""
    if count == 1 and not _apart(folder, listener):
        yield evaluator
        return
    threads = threads_of_each(count) if count > 1 else torch.get_num_threads()
    if count > 1:
        each = f"{threads} thread{'' if threads == 1 else 's'}"
        listener(Note(f"up to {count} trials at once, each in a process of its own with {each}"))
    opening = SetUpAgain(
        folder.absolute(),
        allow_python,
        cache_dir,
        fingerprint(bench),
        replace(reference.file, path=reference.file.path.absolute()),
        reference.val,
        base,
        count - 1,
    )
    with Processes(opening, count, threads=threads, listener=listener, lost=evaluator.lost) as workers:
        yield workers


def _apart(folder: Path, listener: Listener) -> bool:
    """Whether trials are to have a process of their own, for many were killed in one of them; a warning says so.

    The system kills what takes most memory: that process, whose death fails the attempt, while a scheduler kills this
    one as well. Once for each state that was saved: a process that is given little time would spend it on starting.
    """
    begins = often_killed(folder)
    if begins is None:
        return False
    apart = not begins.was_apart
    how = "in a process of its own, and has failed if that alone is killed" if apart else "as before"
    text = (
        f"{begins.killed} processes were killed in trial {begins.trial} and saved nothing more; it is tried again, "
        f"{how}. If that was for want of memory, ulimit -v makes the trial fail instead, and a new recipe with a "
        "smaller data.batch needs less; if it was a scheduler, it gives too little time for one step"
    )
    listener(Note(text, level="warning"))
    if apart:
        begins.set_apart()
    return apart


def threads_of_each(count: int) -> int:
    """The threads of each of `count` processes: an equal part of the usable cores, no more than this one has."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), usable // count))


def beside_notes(trials: Sequence[Observation]) -> list[str]:
    """What a reader of measured trials should know of those that were trained at the same time."""
    beside = max((o.details.get("timed_beside") or 0 for o in trials), default=0)
    if not beside:
        return []
    others = f"up to {beside} other{'' if beside == 1 else 's'}"
    return [f"trials were timed one at a time but beside the training of {others}; what ships was timed alone"]
