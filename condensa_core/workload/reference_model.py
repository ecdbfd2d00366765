"""The model that a run compresses: with the weights the recipe names, or trained once and kept."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import nn

from condensa_core.errors import MachineError, WorkloadError
from condensa_core.progress import Listener, Note, silent
from condensa_core.randomness import Seed
from condensa_core.workload.models import check_fit
from condensa_core.workload.python_sources import source_digest
from condensa_core.workload.reference_cache import read_entry, state_digest, write_entry
from condensa_core.workload.some_outputs import same_outputs, some_outputs
from condensa_core.workload.splits import Splits
from condensa_core.workload.tasks import check_task, task_named
from condensa_core.workload.training import EpochRecord, TrainingPlan, fit, training_plan
from condensa_core.workload.weights import load_weights, put_state

if TYPE_CHECKING:
    from condensa_core.recipe import ModelSpec, Recipe

# To be raised when training.py, or what it calls, would give other weights for the same settings.
TRAINING_VERSION: Final = 1


@dataclass(frozen=True, eq=False)
class Reference:
    """A ready model and where its weights came from.

    `sha256` is that of the weights file, or a content hash of the trained state_dict. `history` is empty for weights
    from a file. `outputs` are some of what it computes for a few samples.
    """

    module: nn.Module
    source: Literal["weights", "trained", "cached"]
    sha256: str
    outputs: tuple[float, ...]
    history: tuple[EpochRecord, ...] = ()


def reference(
    recipe: Recipe,
    splits: Splits,
    module: nn.Module,
    *,
    seed: Seed,
    cache_dir: Path,
    run_dir: Path | None = None,
    listener: Listener = silent,
    device: torch.device | str | None = None,
) -> Reference:
    """`module`, as `build_model` gave it, with the weights to start from, in place, on `device`.

    Weights that the recipe names are loaded, and nothing is trained. Without weights the model is trained as
    `reference.train` says, or taken from `run_dir` or `cache_dir` when the same model, data, settings and seed were
    trained before. A run keeps its own copy in `run_dir`: what others do to the cache cannot change what it goes on
    from. An entry that is damaged, or with which the model computes something else than when it was kept, is told as a
    Note and trained anew, and so is a cache that cannot be written: the run goes on without it. WorkloadError where
    model and data do not fit, before anything is trained; MachineError where `run_dir` cannot be written.
    """
    task = task_named(recipe.task)
    check_task(task, splits.vocabulary)
    module.to("cpu" if device is None else device)
    check_fit(module, recipe.model, splits)
    if recipe.model.weights is not None:
        sha256 = load_weights(module, recipe.model, recipe.directory)
        return Reference(module, "weights", sha256, some_outputs(module, splits))
    plan = training_plan(recipe.reference.train, splits, module)
    entry = cached_at(recipe, splits, module, seed=seed, cache_dir=cache_dir)
    own = run_dir / entry.name if run_dir is not None else None
    for path in (own, entry):
        if path is None or not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a folder is closed
            continue
        try:
            kept = read_entry(path)
            put_state(module, kept.state, path.name)
            now = some_outputs(module, splits)
            if path == entry and not same_outputs(kept.outputs, now):
                raise WorkloadError(
                    f"with the weights in {path} the model computes something else than it did",
                    hint="a file that its code reads, or imports by a name made up while it runs, has changed",
                )
        except WorkloadError as err:
            told = (
                "cached reference ignored: {}; training it again"
                if path == entry
                else "the run's reference ignored: {}"
            )
            listener(Note(told.format(err.message), level="warning"))
            continue
        if kept.torch != torch.__version__:
            listener(Note(f"the kept reference was trained by torch {kept.torch}, this is {torch.__version__}"))
        if own is not None and path != own:
            write_entry(own, kept.state, kept.outputs, kept.history, kept.torch)
        return Reference(module, "cached", state_digest(kept.state), now, kept.history)
    # Learned in a copy: what a model keeps outside its state dict is then the same as with a kept reference.
    learning = copy.deepcopy(module)
    history = fit(learning, splits, plan, task, seed=seed, listener=listener, device=device)
    module.load_state_dict(learning.state_dict())
    now = some_outputs(module, splits)
    try:
        write_entry(entry, module.state_dict(), now, history)
    except MachineError as err:  # the training is paid for, and the run needs no cache to go on
        listener(Note(err.message, level="warning"))
    if own is not None:
        write_entry(own, module.state_dict(), now, history)
    return Reference(module, "trained", state_digest(module.state_dict()), now, history)


def cached_at(recipe: Recipe, splits: Splits, module: nn.Module, *, seed: Seed, cache_dir: Path) -> Path:
    """Where the weights that this recipe would train are kept, once they are; `module` as `build_model` gave it."""
    plan = training_plan(recipe.reference.train, splits, module)
    key = _key(recipe.model, recipe.directory, recipe.task, module, splits, plan, seed)
    return cache_dir / f"{key}.safetensors"


def _key(
    model: ModelSpec, directory: Path, task: str, module: nn.Module, splits: Splits, plan: TrainingPlan, seed: Seed
) -> str:
    """A hash of all that decides the trained weights.

    The initial weights stand for widths and initialisation, the printed module for strides and the like, and the
    source files and arguments for what a user's forward method does. The version of torch is no part of it: the
    weights are what a run is compared with, whoever made them.
    """
    decided: dict[str, Any] = {
        "version": TRAINING_VERSION,
        "model": model.builtin or model.python,
        "source": None if model.python is None else source_digest(model.python, directory),
        "args": model.args,
        "module": str(module),
        "initial": state_digest(module.state_dict()),
        "data": splits.fingerprint,
        "plan": asdict(plan),
        "task": task,
        "seed": seed.root,
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()
