"""Which samples are held out: stratified, and a function of the generator alone."""

from __future__ import annotations

import torch
from torch import Tensor

from condensa_core.errors import WorkloadError


def stratified_holdout(targets: Tensor, held: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two ascending index tensors that share no sample and together hold all of them; the second has `held` samples.

    Every class gives its share of `held` rounded down; what is missing comes from the classes with the largest
    remainders (ties: the lower class number). 0 < held < n, else WorkloadError.
    """
    n = len(targets)
    if not 0 < held < n:
        raise WorkloadError(f"{held} of {n} samples cannot be held out: at least 1 must stay on either side")
    classes, counts = targets.unique(sorted=True, return_counts=True)
    shares = counts.double() * held / n
    quotas = shares.floor().long()
    quotas[(quotas - shares).argsort(stable=True)[: held - int(quotas.sum())]] += 1
    chosen = torch.zeros(n, dtype=torch.bool)
    for label, quota in zip(classes, quotas.tolist(), strict=True):
        members = (targets == label).nonzero().squeeze(1)
        chosen[members[torch.randperm(len(members), generator=generator)[:quota]]] = True
    return (~chosen).nonzero().squeeze(1), chosen.nonzero().squeeze(1)
