"""Training a reference: plain supervised learning with defaults that need no tuning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from condensa_core.errors import Diverged, WorkloadError
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted, silent, stoppable
from condensa_core.randomness import Seed
from condensa_core.workload.batches import Batches
from condensa_core.workload.evaluation import check_scores, device_of, evaluate
from condensa_core.workload.global_state import drawing_from
from condensa_core.workload.metrics import LOSS, TOP1, Score
from condensa_core.workload.splits import Splits
from condensa_core.workload.tasks import Loss, Task, task_named
from condensa_core.workload.watch import seen_running

if TYPE_CHECKING:
    from condensa_core.recipe import TrainSpec

PHASE: Final = "reference"
_WARM_UP: Final = 0.15  # of all steps
_FINAL_LR: Final = 1e-3  # of the peak
_SGD_LR_NORMALISED: Final = 0.1  # He et al., CVPR 2016: batch 128
_SGD_LR_PLAIN: Final = 0.02  # without normalisation layers 0.1 with momentum 0.9 diverges on LeNet-5
_ADAM_LR: Final = 1e-3
# Losses of text have small gradients: 3 epochs of 0.6 MB end at perplexity 5.9 with SGD at 1.0, 9.0 at 0.3 and 11.1
# with Adam at 3e-3 (LSTM of 128 units, bytes).
_SGD_LR_TEXT: Final = 1.0
_ADAM_LR_TEXT: Final = 3e-3
_NORMALISATIONS: Final = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class TrainingPlan:
    """Every setting of a training, none left open; `lr` is the peak."""

    epochs: int
    lr: float
    batch: int
    optimizer: str
    weight_decay: float
    momentum: float


@dataclass(frozen=True)
class EpochRecord:
    """How one epoch (from 0) ended: mean training loss, validation loss and top-1 accuracy (0..1)."""

    epoch: int
    loss: float
    val_loss: float
    val_top1: float


def training_plan(spec: TrainSpec | None, splits: Splits, module: nn.Module) -> TrainingPlan:
    """The recipe's settings with the open ones chosen for the data (epochs, batch) and the model (lr).

    SGD by default, Nesterov momentum 0.9, weight decay 5e-4; the peak lr is 0.1 with normalisation layers and 0.02
    without, 1e-3 for Adam. For text it is 1.0, 3e-3 for Adam, and no weight decays.
    """
    given: dict[str, Any] = {field.name: getattr(spec, field.name, None) for field in dataclasses.fields(TrainingPlan)}
    text = splits.vocabulary is not None
    optimizer = given["optimizer"] or "sgd"
    if optimizer not in _OPTIMIZERS:
        raise WorkloadError(f"optimizer {optimizer!r} is not known", hint="known: " + ", ".join(_OPTIMIZERS))
    normalised = any(isinstance(part, _NORMALISATIONS) for part in module.modules())
    sgd_lr = _SGD_LR_TEXT if text else _SGD_LR_NORMALISED if normalised else _SGD_LR_PLAIN
    adam_lr = _ADAM_LR_TEXT if text else _ADAM_LR
    chosen: dict[str, Any] = {
        "epochs": splits.epochs,
        "lr": sgd_lr if optimizer == "sgd" else adam_lr,
        "batch": splits.train.batch,
        "optimizer": "sgd",
        "weight_decay": 0.0 if text else 5e-4,
        "momentum": 0.9,
    }
    return TrainingPlan(**{name: chosen[name] if value is None else value for name, value in given.items()})


def train_reference(
    module: nn.Module,
    splits: Splits,
    spec: TrainSpec | None,
    *,
    seed: Seed,
    listener: Listener = silent,
    device: torch.device | str | None = None,
    task: str = "classification",
) -> nn.Module:
    """`module` itself, trained in place: the epoch that is best on `val` by the task's chief metric (ties: the lower
    loss)."""
    plan = training_plan(spec, splits, module)
    fit(module, splits, plan, task_named(task), seed=seed, listener=listener, device=device)
    return module


def fit(
    module: nn.Module,
    splits: Splits,
    plan: TrainingPlan,
    task: Task,
    *,
    seed: Seed,
    listener: Listener = silent,
    device: torch.device | str | None = None,
) -> tuple[EpochRecord, ...]:
    """Trains `module` in place and leaves it with the weights of its best epoch; returns what each epoch reached.

    Runs on `device` (None: where the module is), where the module stays. The same seed gives the same weights on the
    same machine and number of threads. The learning rate rises linearly over the first 15 % of the steps and then
    falls along a half cosine (Loshchilov and Hutter, ICLR 2017). Diverged names the step with the first bad loss.
    """
    module.to(device_of(module) if device is None else device)
    _lay_out(module, torch.channels_last)  # 1.2 to 1.6 times faster on CPUs (small CNN, AVX2)
    train = splits.train.rebatched(plan.batch)
    optimizer = _OPTIMIZERS[plan.optimizer](_decayed(module, plan.weight_decay), plan)
    history: list[EpochRecord] = []
    best: dict[str, Tensor] = {}
    reached = (-math.inf, -math.inf)  # by the best epoch so far
    listener(PhaseStarted(PHASE, plan.epochs, f"{plan.epochs} epochs, {train.count} samples"))
    with drawing_from(seed.child("workload", "training").root):  # dropout
        for epoch in range(plan.epochs):
            trained = _one_epoch(module, train, plan, optimizer, task.loss, epoch, listener)
            scores = evaluate(module, splits.val, [task.chief, TOP1, LOSS], listener).scores
            record = EpochRecord(epoch, trained, scores["loss"].value, scores["top1"].value)
            chief = scores[task.chief.name]
            if (rank := _rank(chief, record.val_loss)) > reached:
                reached = rank
                best = {name: value.detach().clone() for name, value in module.state_dict().items()}
            history.append(record)
            listener(Advanced(PHASE, epoch + 1, {"loss": record.loss, f"val_{task.chief.name}": chief.value}))
    module.load_state_dict(best)
    _lay_out(module, torch.contiguous_format)
    shown = f"{abs(reached[0]):.4g}" if task.chief.better == "lower" else f"{100 * reached[0]:.2f} %"
    listener(PhaseEnded(PHASE, f"validation {task.chief.name} {shown}"))
    return tuple(history)


def _one_epoch(
    module: nn.Module,
    train: Batches,
    plan: TrainingPlan,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    epoch: int,
    listener: Listener,
) -> float:
    """The mean loss of the epoch's steps; looked at only afterwards, because reading it stops the device."""
    device = device_of(module)
    module.train()
    losses = []
    for step, (inputs, targets) in enumerate(stoppable(train.epoch(epoch), listener), epoch * train.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * lr_share(step, plan.epochs * train.steps)
        optimizer.zero_grad()
        with seen_running("a training step of the reference"):
            outputs = module(_channels_last(inputs.to(device)))
            check_scores(outputs, targets.shape, 1)  # some give more while they learn, like torchvision's GoogLeNet
            batch_loss = loss(outputs, targets.to(device))
            batch_loss.backward()
        optimizer.step()
        losses.append(batch_loss.detach())
    seen = torch.stack(losses).double().cpu()
    bad = (~seen.isfinite()).nonzero()
    if len(bad):
        step = epoch * train.steps + int(bad[0])
        raise Diverged(
            f"reference training: the loss is {float(seen[bad[0]])} at step {step} (epoch {epoch})",
            hint="lower reference.train.lr, or look for outliers in the data",
        )
    return float(seen.mean())


def lr_share(step: int, steps: int) -> float:
    """The learning rate at `step` (from 0) of `steps` as a share of its peak."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return max(_FINAL_LR, 0.5 * (1 + math.cos(math.pi * progress)))


def _rank(chief: Score, val_loss: float) -> tuple[float, float]:
    return chief.value if chief.better == "higher" else -chief.value, -val_loss


def _lay_out(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Brings the weights of convolutions into the order of `memory_format`; their values stay."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def _channels_last(inputs: Tensor) -> Tensor:
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs


def _decayed(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups: only weights decay; biases and the scales of norm layers (vectors) are left free."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trained:
        raise WorkloadError("the model has no parameters to train", hint="name a model with weights")
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _sgd(groups: list[dict[str, object]], plan: TrainingPlan) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, plan.lr, momentum=plan.momentum, nesterov=plan.momentum > 0)


def _adam(groups: list[dict[str, object]], plan: TrainingPlan) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, plan.lr, betas=(plan.momentum, 0.999))


_OPTIMIZERS: Final[dict[str, Callable[[list[dict[str, object]], TrainingPlan], torch.optim.Optimizer]]] = {
    "sgd": _sgd,
    "adam": _adam,
}
