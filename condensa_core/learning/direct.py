"""Method `direct`: one C step on the trained weights, no learning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from condensa_core.learning.alternate import c_step
from condensa_core.learning.batchnorm import recalibrate_batchnorm
from condensa_core.learning.lc import Learned, put_in_place
from condensa_core.learning.meter import Meter
from condensa_core.schemes import Part
from condensa_core.workload import Batches, Score


@torch.no_grad()
def compress_directly(
    model: nn.Module,
    parts: Sequence[Part],
    train: Batches,
    judge: Callable[[nn.Module], Score],
    *,
    meter: Meter | None = None,
) -> Learned:
    """Delta(Theta) of the trained weights themselves, BatchNorm statistics estimated anew; `model` is untouched."""
    shadow = copy.deepcopy(model)
    names = {name for part in parts for name in part.names}
    codes, theta = c_step({n: p for n, p in model.named_parameters() if n in names}, parts)
    put_in_place(shadow, theta, codes, parts)
    recalibrate_batchnorm(shadow, train, meter=meter)
    score = judge(shadow)
    return Learned(shadow, codes, score, score, 0, True, ())
