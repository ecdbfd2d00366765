"""BatchNorm statistics, estimated anew: weights that change leave running averages behind."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from condensa_core.evaluation_mode import evaluating
from condensa_core.learning.meter import Meter
from condensa_core.workload import Batches, device_of, seen_running

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def recalibrate_batchnorm(
    model: nn.Module, batches: Batches, *, epoch: int = 0, count: int = 20, meter: Meter | None = None
) -> None:
    """Replace running means and variances by plain averages over `count` training batches, in place.

    Only layers that track statistics are touched; momentum and training flags are as before afterwards.
    A model without BatchNorm is left alone at no cost; `meter` is told of the samples that went through any other.
    """
    meter = meter or Meter()
    norms = [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]
    if not norms:
        if isinstance(model, GraphModule):
            _recalibrate_program(model, batches, epoch, count, meter)
        return
    momenta = [m.momentum for m in norms]
    device = device_of(model)
    with evaluating(model):  # dropout stays off: the statistics are those of the model that ships
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        for inputs, _ in islice(batches.epoch(epoch), count):
            with seen_running("the forward pass for BatchNorm"):
                model(inputs.to(device))
            meter.inferred += len(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _recalibrate_program(program: GraphModule, batches: Batches, epoch: int, count: int, meter: Meter) -> None:
    norms = [
        node
        for node in program.graph.nodes
        if node.target is torch.ops.aten.batch_norm.default and all(isinstance(a, Node) for a in node.args[3:5])
    ]
    if not norms:
        return
    device = device_of(program)
    observer = _Observer(program, norms)
    with evaluating(program):
        for inputs, _ in islice(batches.epoch(epoch), count):
            observer.run(inputs.to(device))
            meter.inferred += len(inputs)
    state = {**dict(program.named_buffers()), **dict(program.named_parameters())}
    for name, (total, times) in observer.sums.items():
        state[name].copy_(total / times)


class _Observer(Interpreter):
    """Runs a program with BatchNorm on the statistics of each batch, and adds these up."""

    def __init__(self, program: GraphModule, norms: list[Node]) -> None:
        super().__init__(program)
        self._norms = set(norms)
        self.sums: dict[str, tuple[Tensor, int]] = {}  # by the statistic's name: the sum, and of how many

    def run_node(self, n: Node) -> Any:
        if n not in self._norms:
            return super().run_node(n)
        (x, weight, bias, *_), _ = self.fetch_args_kwargs_from_env(n)
        variance, mean = torch.var_mean(x, [d for d in range(x.ndim) if d != 1])  # unbiased, as in BatchNorm
        for statistic, value in zip(n.args[3:5], (mean, variance), strict=True):
            name = str(statistic.target)  # type: ignore[union-attr]
            total, times = self.sums.get(name, (torch.zeros_like(value), 0))
            self.sums[name] = total + value, times + 1
        return torch.nn.functional.batch_norm(x, None, None, weight, bias, True, 0.0, n.args[7])  # type: ignore[arg-type]
