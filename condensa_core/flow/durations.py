"""How long a run would train: a few steps of its own training are taken and timed."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import nn

from condensa_core.cache_directory import default_cache_dir
from condensa_core.evaluation_mode import evaluating
from condensa_core.flow.effort import estimate, settings_for, training_batches
from condensa_core.flow.trial import learning_copy
from condensa_core.flow.workbench import Bound, learning_device
from condensa_core.learning import Settings, recalibrate_batchnorm
from condensa_core.learning.descent import descend, optimizer_named, stream
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.workload import cached_at, task_loss, training_plan

PHASE: Final = "time"
# The first steps pay for memory that later ones find ready.
WARM_UP: Final = 2
STEPS: Final = 8
FORWARDS: Final = 4


def durations(found: Bound, listener: Listener, cache_dir: Path | None = None) -> dict[str, float]:
    """Seconds of training the reference (0 if its weights are there), of each trial, and of all of them at most.

    Timed now, on this machine, on the whole model: fine-tuning, on a smaller one, is faster. Cutting, exporting and
    measuring come on top of it. Changes nothing and keeps nothing.
    """
    recipe, splits = found.recipe, found.splits
    listener(PhaseStarted(PHASE, detail=f"{WARM_UP + STEPS} training steps"))
    train = training_batches(recipe, splits)
    settings = settings_for(recipe, splits, found.model)
    model = learning_copy(found.model, learning_device())
    optimizer = optimizer_named(settings.optimizer, list(model.parameters()), 0.0, settings.momentum, 0.0)
    batches, loss = stream(train, 0), task_loss(recipe.task)

    def steps(count: int) -> None:  # ends with reading the loss, which waits for an accelerator
        descend(model, batches, loss, optimizer, count, where="timing a training step")

    steps(WARM_UP)
    step_s = _seconds(lambda: steps(STEPS)) / STEPS
    forward_s = _seconds(lambda: _forwards(model, found)) / FORWARDS
    validation_s = splits.val.steps * forward_s
    reference_s = 0.0
    entry = cached_at(recipe, splits, found.model, seed=found.seed, cache_dir=cache_dir or default_cache_dir())
    if recipe.model.weights is None and not os.path.exists(entry):  # noqa: PTH110 - as in reference_model
        epochs = training_plan(recipe.reference.train, splits, found.model).epochs
        reference_s = epochs * (train.steps * step_s + validation_s)
    judged_s = validation_s + _seconds(lambda: recalibrate_batchnorm(model, train))
    listener(PhaseEnded(PHASE, f"{1000 * step_s:.3g} ms each"))
    trial_s = _iterations(found, settings) * step_s + _judgements(found, settings, train.steps) * judged_s
    trials = next(iter(estimate(recipe).values()))
    return {"reference": reference_s, "each_trial": trial_s, "at_most": reference_s + trials * trial_s}


def _iterations(found: Bound, settings: Settings) -> int:
    """Training steps of a trial."""
    compress = found.recipe.compress
    if compress.method == "direct":
        return settings.finetune_iterations if compress.finetune is not None else 0
    return sum(settings.iterations_of(step) for step in range(1, settings.steps + 1)) + settings.finetune_iterations


def _judgements(found: Bound, settings: Settings, epoch: int) -> int:
    """How often a trial is judged on `val`: each compressed model, and fine-tuning at the end of each epoch."""
    compress = found.recipe.compress
    tuned = 0 if compress.method == "direct" and compress.finetune is None else settings.finetune_iterations
    return 1 + math.ceil(tuned / epoch) + (0 if compress.method == "direct" else settings.steps)


def _forwards(model: nn.Module, found: Bound) -> None:
    """FORWARDS batches of `val` through the model, again from the first where there are fewer."""
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        for inputs, _ in itertools.islice(itertools.cycle(found.splits.val), FORWARDS):
            float(model(inputs.to(device)).flatten()[0])  # waits for an accelerator


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
