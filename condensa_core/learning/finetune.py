"""Fine-tuning at fixed structure: what survived is trained on, what is gone stays gone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from condensa_core.learning.batchnorm import recalibrate_batchnorm
from condensa_core.learning.descent import Loss, descend, optimizer_named, stream
from condensa_core.learning.hold import Hold
from condensa_core.learning.meter import Meter
from condensa_core.learning.settings import Settings
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted, silent, stoppable
from condensa_core.randomness import Seed
from condensa_core.schemes import Freedom
from condensa_core.workload import Batches, Score, drawing_from

# The data order of fine-tuning starts far from that of the L steps.
_FIRST_EPOCH = 10_000


def finetune(
    model: nn.Module,
    freedoms: Sequence[Freedom],
    train: Batches,
    loss: Loss,
    judge: Callable[[nn.Module], Score],
    settings: Settings,
    *,
    seed: Seed,
    listener: Listener = silent,
    meter: Meter | None = None,
    hopeless: Callable[[int, Score], bool] = lambda epoch, best: False,
) -> tuple[nn.Module, Score]:
    """A trained copy of `model` and its validation score: the best of the start and every epoch's end.

    `freedoms` say what moves in compressed parameters, after every step: zeros stay zero, entries of a code book move
    together. The learning rate falls from `settings.finetune_lr` to zero along a half cosine over
    `settings.finetune_iterations`. `hopeless` is asked before each epoch, from 0, with the best score so far; where it
    says so nothing more is trained. `meter` counts all passes but those of `judge`. Raises Diverged.
    """
    meter = meter or Meter()
    tuned = copy.deepcopy(model)
    best, best_state = judge(tuned), _state(tuned)
    total = settings.finetune_iterations
    if total == 0:
        return tuned, best
    parameters = [p for p in tuned.parameters() if p.requires_grad]
    for p in parameters:
        p.grad = torch.zeros_like(p)
    hold = Hold(dict(tuned.named_parameters()), freedoms)
    optimizer = optimizer_named(
        settings.optimizer, parameters, settings.finetune_lr, settings.momentum, settings.weight_decay
    )
    batches = stoppable(stream(train, _FIRST_EPOCH), listener)
    epochs = math.ceil(total / train.steps)
    done = 0

    def anneal(i: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = settings.finetune_lr * 0.5 * (1 + math.cos(math.pi * (done + i) / total))

    listener(PhaseStarted("finetune", total=epochs))
    sign = 1 if best.better == "higher" else -1
    with drawing_from(seed.child("finetune").root):
        for epoch in range(epochs):
            if hopeless(epoch, best):
                break
            count = min(train.steps, total - done)
            value = descend(
                tuned, batches, loss, optimizer, count,
                before_step=anneal, after_step=hold, meter=meter, where=f"fine-tuning epoch {epoch + 1}",
            )  # fmt: skip
            done += count
            recalibrate_batchnorm(tuned, train, epoch=epoch, meter=meter)
            score = judge(tuned)
            listener(Advanced("finetune", epoch + 1, {"loss": value, "val": score.value}))
            if sign * score.value >= sign * best.value:
                best, best_state = score, _state(tuned)
    tuned.load_state_dict(best_state)
    listener(PhaseEnded("finetune", f"best validation score {best.value:.4f}"))
    return tuned, best


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
