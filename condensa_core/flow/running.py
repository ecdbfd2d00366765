"""`run` and `resume`: the conductor of everything."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from condensa_core import __version__
from condensa_core.errors import CondensaError, MachineError, OutOfMemory, RunFailed, first_line
from condensa_core.export import OnnxModel
from condensa_core.export.session import onnxruntime
from condensa_core.flow.before_work import memory_before_work
from condensa_core.flow.beforehand import told_beforehand
from condensa_core.flow.candidate import Structure, exported, finished
from condensa_core.flow.comparable import RESOLVED, fingerprint, head_of, recipe_in, with_parallel
from condensa_core.flow.concluding import conclude, recipe_hash
from condensa_core.flow.conditions import answers_record, applied_here, left_out_rows, require_same_answers
from condensa_core.flow.early_abort import brief
from condensa_core.flow.ending import ending_told, forget_ending
from condensa_core.flow.exportable import require_exportable
from condensa_core.flow.journalled import require_readable
from condensa_core.flow.narration import narrated
from condensa_core.flow.objective import Objective
from condensa_core.flow.parallel import executor_of
from condensa_core.flow.probing import probing
from condensa_core.flow.rank_costs import rank_costs
from condensa_core.flow.refusing_python import require_no_python
from condensa_core.flow.run_log import recorded
from condensa_core.flow.same_inputs import (
    OUTPUTS,
    python_files,
    python_record,
    require_same_begin,
    require_same_found,
    require_same_outputs,
)
from condensa_core.flow.search_plots import SearchPlots
from condensa_core.flow.searching import known_before, search_for
from condensa_core.flow.short_runs import require_short_runs_possible
from condensa_core.flow.stages import Entering, Stage, stages_told
from condensa_core.flow.targets import require_targets, skipped_targets, timed_targets
from condensa_core.flow.timing import takes_programs, write_program
from condensa_core.flow.trial import Evaluator, Judged
from condensa_core.flow.users_code import blaming, failing_the_run
from condensa_core.flow.warm_starting import earlier_runs, keep_earlier
from condensa_core.flow.workbench import Bound, Workbench, bound, trained
from condensa_core.progress import Advanced, Begun, Event, Listener, Note, OfTrial, Waiting, silent
from condensa_core.recipe import KeyPlace, Recipe, resolved_yaml
from condensa_core.report import Outcome
from condensa_core.report.as_it_lies import as_it_lies, lost_artifacts
from condensa_core.report.ending import RESULT, read_result
from condensa_core.run_directory import MANIFEST, RunDirectory, manifest
from condensa_core.search import Journal, find_level
from condensa_core.whole_file import make_folder, remedy
from condensa_core.workload import evaluate, watching
from condensa_core.workload.out_of_memory import is_out_of_memory

JOURNAL = "trials.jsonl"
RECIPE = "recipe.yaml"


@probing()
def run(
    recipe: Recipe,
    *,
    out: Path | None = None,
    allow_python: bool = True,
    listener: Listener = silent,
    command: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> Outcome:
    """Find the compression the recipe asks for; everything it yields lies in a new run directory under `out`.

    `out` is the recipe's output.dir by default. Raises CondensaError; whatever was finished by then can be resumed.
    """
    ready = checked(recipe, allow_python, listener)
    require_exportable(recipe, ready, listener)
    require_short_runs_possible(ready)
    earlier = earlier_runs(ready)
    root = out or Path(recipe.output.dir)
    with (
        RunDirectory.create(root, recipe.name, resolved_yaml(recipe)) as directory,
        ending_told(directory, resumed=False),
    ):
        with directory.starting():
            directory.write_text(RECIPE, _text_of(recipe))
            directory.write_text(RESOLVED, resolved_yaml(recipe))
            keep_earlier(directory, earlier)  # first: a manifest makes it a run that can be resumed
            head = manifest(command, seed=recipe.seed, hashes={"recipe": recipe_hash(recipe)})
            head |= {"condensa": __version__, "recipe_directory": str(recipe.directory), "recipe_name": recipe.name}
            head |= answers_record(recipe) | python_record(recipe)
            directory.write_json(MANIFEST, head)
        with stages_told(directory, listener) as entering:
            return _work(ready, directory, listener, allow_python, cache_dir, entering)


def resume(
    path: Path,
    *,
    parallel: int | None = None,
    allow_python: bool = True,
    listener: Listener = silent,
    cache_dir: Path | None = None,
) -> Outcome:
    """Continue the run in the directory `path` at its last completed L-C step; finished trials are not repeated.

    One that lacks nothing but its engine, or artifacts, is concluded again, and the engine tried again.
    `parallel` is how many trials are under way at once from now on, the recipe's number by default.
    ResumeError when it is no run directory, is in use, when recipe, data or reference are no longer the same, or when
    this machine answers the conditions of rules otherwise.
    """
    with RunDirectory.resume(path) as directory:
        recipe = recipe_in(path)
        with ending_told(directory, resumed=True):
            found = read_result(path / RESULT) if (path / RESULT).is_file() else None
            if isinstance(found, Outcome):
                lost = lost_artifacts(found, path)
                if lost:
                    listener(
                        Note(f"this run is finished, but {'; '.join(lost)}; it is concluded again", level="warning")
                    )
                elif found.engine is None or found.engine.path or found.engine.skipped:
                    listener(Note("this run is finished; its result stands"))
                    return as_it_lies(found, path)
                else:
                    listener(Note("this run is finished but for its engine; it is concluded again"))
            require_same_answers(path, recipe)
            require_same_begin(path, recipe, recipe_hash(recipe), listener)
            if parallel is not None:
                recipe = with_parallel(recipe, parallel)
            with stages_told(directory, listener) as entering:
                ready = checked(recipe, allow_python, listener)
                forget_ending(directory)
                return _work(ready, directory, listener, allow_python, cache_dir, entering)


@memory_before_work()
def checked(recipe: Recipe, allow_python: bool, listener: Listener) -> Bound:
    """Everything that can be found wrong before anything is paid for or written."""
    if not allow_python:
        require_no_python(recipe)
    onnxruntime()
    require_targets(applied_here(recipe), listener)
    with watching(listener):
        return bound(recipe, allow_python=allow_python, listener=listener)


def _work(
    ready: Bound,
    directory: RunDirectory,
    listener: Listener,
    allow_python: bool,
    cache_dir: Path | None,
    entering: Entering,
) -> Outcome:
    begun = time.monotonic()
    with (
        logged(directory, listener) as told,
        recorded(directory, recipe_hash(ready.recipe)),
        watching(told, directory.log),
        failing_the_run(),
        probing(),
        blaming(python_files(ready.recipe)),
    ):
        told(Begun())
        told(Note(f"run directory: {directory.path}"))
        recipe = ready.recipe
        for text in recipe.left_out_texts:
            told(Note(f"left out: {text}"))
        for overlap in ready.overlaps:
            directory.log(f"samples in two splits: {overlap}")  # told while the data was read
        entering(Stage.REFERENCE)
        bench = trained(ready, cache_dir=cache_dir, run_dir=directory.path, listener=told)
        for problem in bench.plan.problems:
            told(Note(f"{problem.place}: {problem.message}", level="warning"))
        _complete_manifest(directory, bench)
        planned = {"rows": bench.plan.rows(), "left_out": left_out_rows(recipe), "kept": list(bench.plan.kept)}
        directory.write_json("plan.json", planned)
        entering(Stage.RANKS)
        bench = dataclasses.replace(bench, rank_costs=rank_costs(bench, directory, told))
        with Journal(directory.path / JOURNAL, fingerprint(bench)) as journal:
            if journal.torn_bytes:
                directory.log(f"the last line of the journal was torn: {journal.torn_bytes} bytes are dropped")
            require_readable(journal)
            objective = Objective.of(recipe)
            entering(Stage.JUDGING)
            reference = judged_reference(bench, directory, told)
            _warn_if_out_of_reach(bench, reference, told)
            entering(Stage.PROFILE)
            known = known_before(bench, objective, reference, journal, told)
            beforehand = told_beforehand(bench, directory, reference, known, journal, told)
            search = search_for(bench, reference, known, beforehand)
            base = known.objective.reference if known else None
            bounded = reference.val.scores[recipe.constraint.metric].value
            told = narrated(told, recipe.constraint, objective, bounded)
            evaluator = Evaluator(bench, objective, reference, base, directory.path, told)
            plots = SearchPlots(
                search, journal, directory, name=recipe.name, metric=recipe.constraint.metric, listener=told
            )

            def ended(number: int) -> None:
                evaluator.ended(number)
                plots.ended(number)

            entering(Stage.SEARCH)
            count = min(recipe.search.parallel, search.budget)
            with executor_of(
                evaluator, bench, reference, base, directory.path, count, told,
                allow_python=allow_python, cache_dir=cache_dir,
            ) as executor:  # fmt: skip
                found = find_level(
                    executor,
                    search,
                    journal,
                    parallel=count,
                    timeout_s=recipe.search.timeout_s,
                    spent_s=beforehand.short_s,
                    listener=told,
                    ended=ended,
                    briefing=brief if recipe.search.early_abort else lambda entries: {},
                )
            entering(Stage.CONCLUSION)
            return conclude(bench, directory, objective, reference, search, found, journal, told, begun, cache_dir)


def _complete_manifest(directory: RunDirectory, bench: Workbench) -> None:
    """Add what is known once data and reference are there; ResumeError where it was known, and otherwise."""
    head = head_of(directory.path)
    found = {"data": bench.splits.fingerprint, "reference": bench.reference.sha256}
    require_same_found(directory.path, found)
    require_same_outputs(directory.path, bench.reference.outputs)
    head["hashes"] |= found
    head.setdefault(OUTPUTS, bench.reference.outputs)
    head["data"] = bench.splits.known_by
    directory.write_json(MANIFEST, head)


def judged_reference(bench: Workbench, directory: RunDirectory, listener: Listener) -> Judged:
    """The reference exported like a candidate, and judged from its file."""
    folder = directory.path / "reference"
    make_folder(folder)
    nothing_removed = Structure({}, (), {})
    model = finished(bench, bench.model, nothing_removed)
    file = exported(bench, model, nothing_removed, folder / "model.onnx", None)
    skipped = skipped_targets(bench.recipe)
    if any(takes_programs(target) for name, target in timed_targets(bench.recipe).items() if name not in skipped):
        write_program(model, bench.example, file.path)
    judging = OnnxModel(file.path)
    return Judged(model, file, evaluate(judging, bench.splits.val, list(bench.metrics.values()), listener))


def _warn_if_out_of_reach(bench: Workbench, reference: Judged, listener: Listener) -> None:
    """Say so when not even the reference keeps the bound: every trial would have to be better than it."""
    wanted = bench.recipe.constraint
    value = reference.val.scores[wanted.metric].value
    if not wanted.met(value, value):
        listener(Note(f"the reference itself reaches {value:.4g}, which breaks {wanted}", level="warning"))


@contextlib.contextmanager
def logged(directory: RunDirectory, listener: Listener) -> Iterator[Listener]:
    """A listener that also writes run.log; errors are logged too.

    What this machine refuses inside, disk, memory or GPU, becomes RunFailed: work has begun, and can be resumed.
    """
    lost = False

    def told(event: Event) -> None:
        nonlocal lost
        of_trial = event.event if isinstance(event, OfTrial) else event
        if not isinstance(of_trial, (Advanced, Waiting, Begun)):
            try:
                directory.log(repr(event))
            except RunFailed as err:  # a log that cannot be written is no reason to lose a trial
                if not lost:
                    listener(Note(f"{err.message}; run.log has gaps", level="warning"))
                lost = True
        listener(event)

    try:
        try:
            yield told
        except MachineError as err:
            cause = err.__cause__
            hint = err.hint or (remedy(cause) if isinstance(cause, OSError) else None)
            raise RunFailed(err.message, hint=hint) from err
        except (OSError, MemoryError, RuntimeError) as err:
            if is_out_of_memory(err):
                hint = "close other programs, or lower data.batch in a new recipe"
                raise OutOfMemory(f"out of memory: {first_line(err)}", hint=hint) from err
            if isinstance(err, OSError):
                raise directory.refused(err) from err
            if "CUDA error" in str(err):  # an accelerator that failed once fails every call of this process
                raise RunFailed(f"the GPU failed: {first_line(err)}", hint="see nvidia-smi and dmesg") from err
            raise
    except CondensaError as err:
        with contextlib.suppress(CondensaError):  # the disk may be what failed
            directory.log(f"{type(err).__name__}: {err}")
        raise


def _text_of(recipe: Recipe) -> str:
    """The recipe as the user wrote it, or written out where it came from Python."""
    place = recipe.place()
    if place is not None and not isinstance(place, KeyPlace) and Path(place.file).is_file():
        return Path(place.file).read_text(encoding="utf-8")
    return resolved_yaml(recipe)
