"""BatchNorm statistics, estimated anew: weights that change leave running averages behind."""

from __future__ import annotations

from itertools import islice

import torch
from torch import nn

from condensa_core.workload import Batches, device_of, evaluating

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def recalibrate_batchnorm(model: nn.Module, batches: Batches, *, epoch: int = 0, count: int = 20) -> None:
    """Replace running means and variances by plain averages over `count` training batches, in place.

    Only layers that track statistics are touched; momentum and training flags are as before afterwards.
    A model without BatchNorm is left alone at no cost.
    """
    norms = [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    device = device_of(model)
    with evaluating(model):  # dropout stays off: the statistics are those of the model that ships
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative average
            norm.train()
        for inputs, _ in islice(batches.epoch(epoch), count):
            model(inputs.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
