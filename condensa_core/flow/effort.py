"""How much is learned in a trial: the recipe's settings, and a default for every one left out."""

from __future__ import annotations

from torch import nn

from condensa_core.learning import Settings
from condensa_core.recipe import Recipe, TrainSpec
from condensa_core.workload import Batches, Splits, training_plan

STEPS = 10
# Fine-tuning runs on the smaller model, where an epoch costs a fraction of one of the L steps.
FINETUNE_EPOCHS = 4
# An L step of fewer iterations moves the weights too little for the C step to see what training wants.
FEWEST_ITERATIONS = 40
# L-C starts from trained weights: half the step size that trained them from scratch.
LR_SHARE = 0.5
# A trial that diverged is tried again at a third of the step size.
RETRY_LR_SHARE = 0.3


def training_batches(recipe: Recipe, splits: Splits) -> Batches:
    """The training split in the batches of `l_step.batch`, or its own."""
    batch = recipe.compress.l_step.batch if recipe.compress.l_step else None
    return splits.train.rebatched(batch) if batch else splits.train


def settings_for(recipe: Recipe, splits: Splits, model: nn.Module, attempt: int = 0) -> Settings:
    """Every number of an L-C run and the fine-tuning after it; `attempt` counts failed ones."""
    spec, default = recipe.compress, Settings()
    step, mu, tune = spec.l_step, spec.mu, spec.finetune
    train = training_batches(recipe, splits)
    steps = spec.steps or STEPS
    optimizer = step.optimizer if step and step.optimizer else default.optimizer
    usual_lr = _trained_lr(recipe, splits, model, optimizer, train.batch) * LR_SHARE
    lr = (step.lr if step and step.lr else usual_lr) * RETRY_LR_SHARE**attempt
    decay = default.lr_decay
    if step and step.lr_end and steps > 1:
        decay = (step.lr_end * RETRY_LR_SHARE**attempt / lr) ** (1 / (steps - 1))
    tune_iterations = FINETUNE_EPOCHS * train.steps
    if tune and tune.iterations is not None:
        tune_iterations = tune.iterations
    elif tune and tune.epochs is not None:
        tune_iterations = tune.epochs * train.steps
    return Settings(
        steps=steps,
        optimizer=optimizer,
        lr=lr,
        lr_decay=decay,
        momentum=step.momentum if step and step.momentum is not None else default.momentum,
        weight_decay=step.weight_decay if step and step.weight_decay is not None else default.weight_decay,
        iterations=_iterations(recipe, train),
        mu=(mu.start, mu.growth or 1.0, mu.cap) if mu else None,
        finetune_iterations=tune_iterations,
        finetune_lr=tune.lr * RETRY_LR_SHARE**attempt if tune and tune.lr else lr,
    )


def estimate(recipe: Recipe) -> dict[str, int]:
    """How much a run may train, before any data is read."""
    knobs = any(scheme.knobs for rule in recipe.rules.values() for scheme in rule.scheme)
    trials = recipe.search.trials if knobs and recipe.search.method != "none" else 1
    if recipe.compress.method == "direct":
        return {"trials at most": trials}
    return {"trainings at most": trials, "L-C steps each": recipe.compress.steps or STEPS}


def _trained_lr(recipe: Recipe, splits: Splits, model: nn.Module, optimizer: str, batch: int) -> float:
    """The peak step size that trains this model from scratch: the reference's own where it was trained here, with the
    same optimizer and batch, else the usual one of the optimizer."""
    trained = training_plan(recipe.reference.train, splits, model)
    if recipe.model.weights is None and (trained.optimizer, trained.batch) == (optimizer, batch):
        return trained.lr
    return training_plan(TrainSpec(optimizer=optimizer), splits, model).lr


def _iterations(recipe: Recipe, train: Batches) -> int:
    step = recipe.compress.l_step
    if step and step.iterations:
        return step.iterations
    if step and step.epochs:
        return step.epochs * train.steps
    return max(train.steps, FEWEST_ITERATIONS)
