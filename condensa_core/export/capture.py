"""The exporters of torch, made quiet: only what is known to be harmless is silenced, by message."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from condensa_core.errors import UsageError

_KNOWN_WARNINGS = (  # torch 2.7 .. 2.13, raised by the exporter against itself
    r".*LeafSpec.*",
    r".*_check_is_size.*",
    r".*_flat_weights.*",
    r".*isinstance\(treespec.*",
)
_CHATTY_LOGGERS = (
    "torch.onnx._internal.exporter._registration",  # "torchvision is not installed", four times a model
    "onnxscript.optimizer",
    "onnxscript.rewriter",
)


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Inside the block, known noise is dropped; any other warning or log record still arrives."""
    loggers = [(logger, logger.level) for logger in map(logging.getLogger, _CHATTY_LOGGERS)]
    try:
        for logger, _ in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for message in _KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in loggers:
            logger.setLevel(level)


def dynamic_batch(example_inputs: tuple[Tensor, ...]) -> tuple[dict[int, object], ...]:
    """Every input's first dimension is the same free `batch`; UsageError unless the example has two samples or more.

    torch.export takes sizes 0 and 1 for constants, so an example with one sample would freeze the batch.
    """
    if any(x.ndim == 0 or len(x) < 2 for x in example_inputs):
        shapes = ", ".join(str(tuple(x.shape)) for x in example_inputs)
        raise UsageError(f"example inputs of an export need a batch of at least 2, got {shapes}")
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in example_inputs)
