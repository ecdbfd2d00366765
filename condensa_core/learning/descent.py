"""Mini-batch descent for a fixed number of iterations: what the L step and fine-tuning share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn

from condensa_core.errors import Diverged, UsageError
from condensa_core.learning.meter import Meter
from condensa_core.workload import Batches, device_of, seen_running

Loss = Callable[[Tensor, Tensor], Tensor]

# Looking at the loss costs a device synchronisation: often enough to stop early, seldom enough not to be felt.
_CHECK_EVERY = 25


def _sgd(parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    nesterov = momentum > 0
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)


def _adam(parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, betas=(momentum, 0.999), weight_decay=weight_decay)


OPTIMIZERS: Final = {"sgd": _sgd, "adam": _adam}


def optimizer_named(
    name: str, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """A fresh optimizer; UsageError if the name is not known."""
    if name not in OPTIMIZERS:
        raise UsageError(f"no optimizer called {name!r}", hint="known: " + ", ".join(OPTIMIZERS))
    return OPTIMIZERS[name](parameters, lr, momentum, weight_decay)


def stream(batches: Batches, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches without end, from the beginning of `epoch` on."""
    while True:
        yield from batches.epoch(epoch)
        epoch += 1


def descend(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    iterations: int,
    *,
    before_step: Callable[[int], None] | None = None,
    after_step: Callable[[], None] | None = None,
    meter: Meter | None = None,
    where: str,
) -> float:
    """Mean training loss over `iterations` steps of the optimizer, taken in place on the model in training mode.

    `before_step(i)` runs between backward and the optimizer, `after_step()` after it. Raises Diverged, naming `where`
    and the iteration, when the loss or a weight is not finite.
    """
    model.train()
    meter = meter or Meter()
    device = device_of(model)
    total = torch.zeros((), device=device)
    for i in range(iterations):
        inputs, targets = next(batches)
        meter.trained += len(inputs)
        optimizer.zero_grad(set_to_none=False)
        with seen_running(f"a training step ({where})"):
            value = loss(model(inputs.to(device)), targets.to(device))
            value.backward()
        if before_step:
            before_step(i)
        optimizer.step()
        if after_step:
            after_step()
        total += value.detach()
        if (i + 1) % _CHECK_EVERY == 0 and not math.isfinite(float(total)):
            raise Diverged(f"{where}: the loss is not finite at iteration {i + 1}", hint="lower l_step.lr or mu.start")
    weights = torch.stack([p.detach().square().sum() for p in model.parameters()]).sum()
    if not math.isfinite(float(total + weights)):
        raise Diverged(f"{where}: loss or weights are not finite after {iterations} iterations", hint="lower the lr")
    return float(total) / max(1, iterations)
