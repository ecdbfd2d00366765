"""The inputs of the file that ships, and how the data that it learned from was prepared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from condensa_core.report import ModelInput
from condensa_core.workload import Batches, Standardise, TensorBatches


def model_inputs(names: Sequence[str], example: tuple[Tensor, ...], train: Batches) -> tuple[ModelInput, ...]:
    """The inputs called `names`, shaped like `example` (batches), as `train` prepares them."""
    prepared = _standardised(train)
    return tuple(
        ModelInput(name, tuple(tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."), **prepared)
        for name, tensor in zip(names, example, strict=True)
    )


def _standardised(train: Batches) -> dict[str, Any]:
    """Mean, deviation and range of pixels of built-in images; nothing of any other data."""
    if not (isinstance(train, TensorBatches) and isinstance(train.prepare, Standardise)):
        return {}
    stored = train.inputs
    bytewise = stored.dtype == torch.uint8
    return {
        "mean": tuple(train.prepare.mean.flatten().tolist()),
        "deviation": tuple(train.prepare.deviation.flatten().tolist()),
        "pixels": (0.0, 255.0) if bytewise else (float(stored.min()), float(stored.max())),
    }
