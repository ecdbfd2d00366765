"""One trial: knob values in, a measured candidate and its files out."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.errors import OutOfMemory, RunFailed, first_line
from condensa_core.export import OnnxFile, check_parity, save_weights
from condensa_core.flow.accounting import stored_bits
from condensa_core.flow.candidate import Structure, cut_model, finished, laid_out, stored_halves
from condensa_core.flow.carrying import carry, float_path
from condensa_core.flow.comparable import fingerprint
from condensa_core.flow.early_abort import CARRIED, FINETUNED, Fate, certain_fate
from condensa_core.flow.effort import settings_for, training_batches
from condensa_core.flow.integers import require_sound
from condensa_core.flow.judged_file import judged_file
from condensa_core.flow.last_words import FILE as LAST_WORDS
from condensa_core.flow.last_words import last_words, leaving_last_words
from condensa_core.flow.objective import REFERENCE, SIZES, Gain, Objective, timing_record
from condensa_core.flow.packed import packed
from condensa_core.flow.run_log import log_crashed_attempt, log_failed_attempt
from condensa_core.flow.same_inputs import python_files
from condensa_core.flow.silent_ends import BEGUN, STATE, Begins
from condensa_core.flow.splitting import freedoms, split
from condensa_core.flow.timing import takes_programs, write_program
from condensa_core.flow.timing_lock import alone_timing
from condensa_core.flow.training_cost import Ledger, reference_training_macs
from condensa_core.flow.trial_files import file_hashes
from condensa_core.flow.users_code import blaming
from condensa_core.flow.workbench import Workbench
from condensa_core.graph import count_macs
from condensa_core.learning import Checkpoint, Learned, Meter, compress, compress_directly, finetune
from condensa_core.progress import Listener
from condensa_core.search import TRAINING_COST, Reading, Trial, point_key
from condensa_core.whole_file import PARTIAL, make_folder, replacing
from condensa_core.workload import Batches, Evaluation, Score, agreement, difference_stderr, evaluate, task_loss
from condensa_core.workload.out_of_memory import is_out_of_memory, release

# Of measuring a candidate against the reference; the one that ships is measured longer.
SECONDS = 4.0
PARITY_BATCHES = 2

FILE = "model.onnx"
PACKED = "model.packed.onnx"
WEIGHTS = "weights.safetensors"
KEEP = "keep.json"


@dataclass(frozen=True, eq=False)
class Judged:
    """The reference's file and what it scored on `val`: what every candidate is held against."""

    model: nn.Module  # BatchNorm folded, as it would ship
    file: OnnxFile
    val: Evaluation

    @property
    def sizes(self) -> dict[str, int]:
        """What candidates' files are held against, whatever their form: the plain file in full precision."""
        return dict.fromkeys(SIZES, self.file.size_bytes)


@dataclass
class Tuning:
    """The best metric on `val` at the start of fine-tuning and after each epoch; a fate where it was ended early."""

    history: list[float] = field(default_factory=list)
    fate: Fate | None = None


class Evaluator:
    """Runs trials of one workbench, in folders under the run directory `folder`.

    `base` is the reference's objective in the profile: measured objectives are given as this times their ratio to the
    reference in the same rounds, so that trials of an hour, and the profile before them, compare. None: as measured.
    `beside` is how many other trials may be trained at the same time, in other processes; one process times at once.
    """

    def __init__(
        self,
        bench: Workbench,
        objective: Objective,
        reference: Judged,
        base: float | None,
        folder: Path,
        listener: Listener,
        *,
        beside: int = 0,
    ) -> None:
        self._bench = bench
        self._objective = objective
        self._reference = reference
        self._base = base
        self._folder = folder
        self._listener = listener
        self._beside = beside
        self._metric = bench.metrics[bench.recipe.constraint.metric]
        self._own_files = python_files(bench.recipe)

    def __call__(self, trial: Trial) -> Reading:
        """Learn, cut, fine-tune, fold, export, check, judge on `val`, measure.

        RunFailed where any of it fails, for want of memory too, its details saying what was spent on training until
        then; also where the same attempt crashed an earlier process.
        """
        self._require_survived(trial)
        ledger = Ledger(reference_training_macs(self._bench))
        begins = Begins(trial_folder(self._folder, trial.number), trial.attempt)
        words = self._last_words(trial), point_key(trial.point)
        try:
            with blaming(self._own_files), begins.counted(), leaving_last_words(*words):
                return self._read(trial, ledger)
        except RunFailed as err:
            err.details = {**err.details, TRAINING_COST: ledger.record()}
            log_failed_attempt(self._folder, trial.number, trial.attempt, err)
            raise
        except (OSError, MemoryError, RuntimeError) as err:
            if not is_out_of_memory(err):
                raise
            log_failed_attempt(self._folder, trial.number, trial.attempt, err)
            failure = OutOfMemory(
                f"out of memory: {first_line(err)}", hint="close other programs, or lower data.batch in a new recipe"
            )
        # raised where the error above is gone: its frames hold the tensors that the next trial has no room beside
        failure.details = {TRAINING_COST: ledger.record()}
        release()
        raise failure

    def _read(self, trial: Trial, ledger: Ledger) -> Reading:
        begun = time.monotonic()
        bench, folder = self._bench, trial_folder(self._folder, trial.number)
        make_folder(folder)
        learned, tuned, structure, tuning = self._trained(trial, ledger)
        ledger.stop()
        if tuning.fate is not None:
            return self._given_up(trial, learned, tuning, tuning.fate, ledger)
        shipped = finished(bench, tuned, structure)
        path, backend = folder / FILE, self._objective.target.backend
        observers = bench.plan.observers(dict(trial.point))
        like = self._reference.file
        carried = carry(bench, tuned, shipped, structure, path, like, backend=backend, observers=observers)
        parity, file = check_parity(carried.plain.path, shipped, _inputs(bench.splits.val)), carried.shipped
        if carried.integers is not None:
            require_sound(carried.integers.file)
        small_file = packed(bench, tuned, shipped, structure, file.path, folder / PACKED) if bench.packs else None
        save_weights(shipped, folder / WEIGHTS, stored_halves(shipped, structure))
        with replacing(folder / KEEP) as path:
            path.write_text(json.dumps(structure_record(structure)), encoding="utf-8")
        if self._objective.measured and takes_programs(self._objective.target):
            write_program(shipped, bench.example, file.path)
        judged = evaluate(judged_file(file.path), bench.splits.val, list(bench.metrics.values()), self._listener)
        sizes = {"size.onnx": file.size_bytes} | ({"size.packed": small_file.size_bytes} if small_file else {})
        gain, timing = self._measured(shipped, file, sizes)
        stored, counted = stored_bits(bench, shipped, structure)
        score = judged.scores[self._metric.name]
        sampling_sd = difference_stderr(judged, self._reference.val, self._metric.name)
        details: dict[str, Any] = {
            "attempt": trial.attempt,
            "val": scores_record(judged),
            "agreement_val": asdict(agreement(judged, self._reference.val)),
            "direct_val": asdict(learned.direct),
            "learned_val": asdict(learned.score),
            "lc": _lc_record(learned),
            FINETUNED: tuning.history,
            "ratio": asdict(gain.ratio),
            "measurement": timing,
            "timed_beside": self._beside if timing else None,
            "bytes": file.size_bytes,
            "packed_bytes": small_file.size_bytes if small_file else None,
            "sha256": file.sha256,
            "files": file_hashes(folder, (FILE, float_path(Path(FILE)).name, WEIGHTS, KEEP, PACKED)),
            "macs": count_macs(shipped, bench.example),
            "parameters": sum(p.numel() for p in shipped.parameters()),
            "stored_bits": stored,
            "counted_bits": counted,
            "kept": {family: int(mask.sum()) for family, mask in structure.keep.items()},
            "parity": asdict(parity),  # of the file in floating point
            "integers": carried.integers.record() if carried.integers else None,
            TRAINING_COST: ledger.record(),
            "seconds": time.monotonic() - begun,
        }
        return Reading(score.value, math.hypot(sampling_sd, self._training_sd), gain.value, details)

    def _given_up(self, trial: Trial, learned: Learned, tuning: Tuning, fate: Fate, ledger: Ledger) -> Reading:
        """What the search is told of a trial whose fate was certain: nothing is exported, judged or measured."""
        epoch = len(tuning.history) - 1
        details = {
            "attempt": trial.attempt,
            "direct_val": asdict(learned.direct),
            "learned_val": asdict(learned.score),
            "lc": _lc_record(learned),
            FINETUNED: tuning.history,
            TRAINING_COST: ledger.record(),
        }
        so_far = f"{self._metric.name} {tuning.history[-1]:.4g} after {epoch} epochs of fine-tuning"
        return Reading(
            fate.metric,
            math.hypot(fate.sd, self._training_sd),
            None,
            details,
            aborted=f"{so_far}, about {fate.metric:.4g} expected",
        )

    @property
    def _training_sd(self) -> float:
        return self._bench.recipe.search.noise_sd(self._reference.val.scores[self._metric.name].value)

    def ended(self, number: int) -> None:
        """Drop the states of a trial's L steps, many times the size of what it ships: it is in the journal for good."""
        folder = trial_folder(self._folder, number)
        left = (path for name in (STATE, LAST_WORDS, BEGUN) for path in folder.glob(name.format("*")))
        for state in (*left, *folder.glob(f"{PARTIAL}*")):  # a worker may have died
            state.unlink(missing_ok=True)

    def lost(self, trial: Trial) -> dict[str, Any]:
        """The details of an attempt whose process died: what its L steps cost, as far as they were saved.

        What it said while it crashed goes to the log.
        """
        words = last_words(self._last_words(trial), point_key(trial.point))
        if words is not None:
            log_crashed_attempt(self._folder, trial.number, trial.attempt, words.text)
        saved = self._state(trial).load()
        if saved is None:
            return {}
        ledger = Ledger(reference_training_macs(self._bench))
        ledger.phase("learn", self._bench.graph.macs).restore(saved.spent)
        ledger.stop()
        return {TRAINING_COST: ledger.record()}

    def _require_survived(self, trial: Trial) -> None:
        """RunFailed where an earlier process crashed in this attempt: another would crash there, too, for ever."""
        words = last_words(self._last_words(trial), point_key(trial.point))
        if words is None:
            return
        failure = RunFailed(str(words))
        failure.details = self.lost(trial)
        raise failure

    def _last_words(self, trial: Trial) -> Path:
        """Where a process that crashes in an attempt says so."""
        return trial_folder(self._folder, trial.number) / LAST_WORDS.format(trial.attempt)

    def _state(self, trial: Trial) -> Checkpoint:
        """Where an attempt keeps the state after each L step, for itself alone."""
        path = trial_folder(self._folder, trial.number) / STATE.format(trial.attempt)
        return Checkpoint(path, f"{self._start} {point_key(trial.point)} {trial.attempt}")

    @cached_property
    def _start(self) -> str:
        return fingerprint(self._bench)

    def _trained(self, trial: Trial, ledger: Ledger) -> tuple[Learned, nn.Module, Structure, Tuning]:
        """The cut, split and fine-tuned model of a trial, in float32, BatchNorm still in place."""
        bench, recipe = self._bench, self._bench.recipe
        train = training_batches(recipe, bench.splits)
        settings = settings_for(recipe, bench.splits, bench.model, trial.attempt)
        seed = bench.seed.child("trial", point_key(trial.point), trial.attempt)
        loss = task_loss(recipe.task)
        parts = bench.parts_at(dict(trial.point))
        model = learning_copy(bench.model, bench.device)
        meter = ledger.phase("learn", bench.graph.macs)
        judge = self._judging(meter)
        if recipe.compress.method == "direct":
            learned = compress_directly(model, parts, train, judge, meter=meter)
        else:
            learned = compress(
                model, parts, train, loss, judge, settings,
                seed=seed, listener=self._listener, checkpoint=self._state(trial), meter=meter,
            )  # fmt: skip
        decided = Structure.of(learned.codes)
        small, structure = split(bench, cut_model(bench, learned.model.cpu(), decided), decided)
        meter = ledger.phase("finetune", count_macs(small, bench.example))
        small = small.to(bench.device)
        if recipe.compress.method == "direct" and recipe.compress.finetune is None:
            return learned, small, structure, Tuning()  # direct means untrained, unless the recipe asks for fine-tuning
        free = freedoms(bench, small, structure)
        tuning = Tuning()
        tuned, score = finetune(
            small, free, train, loss, self._judging(meter), settings,
            seed=seed, listener=self._listener, meter=meter, hopeless=self._hopeless(trial, tuning),
        )  # fmt: skip
        if tuning.fate is None:
            tuning.history.append(score.value)
        return learned, tuned, structure, tuning

    def _hopeless(self, trial: Trial, tuning: Tuning) -> Callable[[int, Score], bool]:
        """Writes down how fine-tuning goes, and ends it where the trial's brief makes its fate certain."""
        bound = self._bench.recipe.constraint
        reference = self._reference.val.scores[bound.metric]

        def hopeless(epoch: int, best: Score) -> bool:
            tuning.history.append(best.value)
            tuning.fate = certain_fate(
                trial.brief.get(FINETUNED, ()), best.value, epoch,
                reference=reference.value, level=bound.limit(reference.value), better=reference.better,
                noise_sd=math.hypot(best.stderr, self._training_sd), carried=trial.brief.get(CARRIED, ()),
            )  # fmt: skip
            return tuning.fate is not None

        return hopeless

    def _judging(self, meter: Meter) -> Callable[[nn.Module], Score]:
        """The score on `val`, the samples counted by the meter."""

        def judge(model: nn.Module) -> Score:
            meter.inferred += self._bench.splits.val.count
            return evaluate(model, self._bench.splits.val, [self._metric], self._listener).scores[self._metric.name]

        return judge

    def _measured(self, shipped: nn.Module, file: OnnxFile, sizes: Mapping[str, int]) -> tuple[Gain, dict[str, Any]]:
        objective, bench = self._objective, self._bench
        if not objective.measured:
            value = objective.count(shipped, bench.example, sizes)
            base = objective.count(self._reference.model, bench.example, self._reference.sizes)
            return objective.exact(value, base), {}
        files = {REFERENCE: self._reference.file.path, "candidate": file.path}
        with alone_timing(self._folder):
            comparison = objective.time(files, seconds=SECONDS)
        gain = objective.read(comparison, "candidate")
        if self._base is not None:
            gain = Gain(objective.scaled(self._base, gain.ratio.value), gain.ratio)
        return gain, timing_record(comparison, "candidate")


def _lc_record(learned: Learned) -> dict[str, Any]:
    return {
        "best_step": learned.best_step,
        "steps": max(0, len(learned.history) - 1),
        "converged": learned.converged,
        "distance": learned.history[-1]["distance"] if learned.history else 0.0,
        "history": list(learned.history),
    }


def trial_folder(root: Path, number: int) -> Path:
    """The folder of trial `number` of the run directory `root`, whether or not it exists."""
    return root / "trials" / f"{number:03d}"


def learning_copy(model: nn.Module, device: torch.device) -> nn.Module:
    """A copy of the model to learn with, on `device`, in the memory layout its convolutions like."""
    model = copy.deepcopy(model).to(device)
    if any(isinstance(m, nn.Conv2d) for m in model.modules()):
        model = laid_out(model, torch.channels_last)
    return model


def structure_record(structure: Structure) -> dict[str, Any]:
    """The structure as JSON values: enough to cut and split the reference in the same way again."""
    return {
        "keep": {family: np.flatnonzero(mask).tolist() for family, mask in structure.keep.items()},
        "sizes": {family: len(mask) for family, mask in structure.keep.items()},
        "narrow": {name: str(dtype).removeprefix("torch.") for name, dtype in sorted(structure.narrow.items())},
        "ranks": dict(structure.ranks),
    }


def read_structure(record: dict[str, Any]) -> Structure:
    """The structure that `structure_record` described; the form of single weights is in the weights themselves."""
    keep = {}
    for family, positions in record["keep"].items():
        keep[family] = np.zeros(record["sizes"][family], dtype=bool)
        keep[family][positions] = True
    return Structure(keep, (), {name: getattr(torch, dtype) for name, dtype in record["narrow"].items()})


def scores_record(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Scores by metric, as JSON values."""
    return {name: asdict(score) for name, score in evaluation.scores.items()}


def _inputs(batches: Batches) -> Iterator[tuple[Tensor, ...]]:
    for number, (inputs, _) in enumerate(batches):
        if number == PARITY_BATCHES:
            return
        yield (inputs,)
