"""Multiply-accumulates of convolutions and matrix products, as torch itself counts them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from condensa_core.errors import WorkloadError
from condensa_core.graph.capture import evaluating, first_line


def count_macs(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> int:
    """MACs of one sample; `example_inputs` hold samples along dimension 0. The model is left as it was."""
    return macs_by_module(model, example_inputs)[""]


def macs_by_module(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Mapping[str, int]:
    """MACs of one sample in every module, those of its children included; the model itself is "".

    A module that runs twice counts twice. Modules that run no convolution or matrix product are left out.
    """
    batch = example_inputs[0].shape[0] if example_inputs and example_inputs[0].ndim else 1
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        try:
            model(*example_inputs)
        except Exception as error:  # the forward is the user's code
            shapes = ", ".join(str(tuple(x.shape)) for x in example_inputs)
            raise WorkloadError(
                f"{type(model).__name__} does not run on an example input of shape {shapes}: {first_line(error)}",
                hint="check the model's input shape",
            ) from error
    counts = counter.get_flop_counts()
    root = type(model).__name__
    macs = {"": sum(counts.get("Global", {}).values()) // (2 * batch)}
    for name, count in counts.items():
        if name.startswith(root + "."):
            macs[name[len(root) + 1 :]] = sum(count.values()) // (2 * batch)
    return macs
