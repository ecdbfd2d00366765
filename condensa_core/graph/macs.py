"""Multiply-accumulates of convolutions and matrix products, as torch itself counts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from condensa_core.errors import WorkloadError
from condensa_core.graph.capture import evaluating, first_line
from condensa_core.graph.example import example_tuple

Shape = tuple[int, ...]


def _attention(q: Shape, k: Shape, v: Shape, *_: object, out_shape: object = None, **__: object) -> int:
    return int(sdpa_flop_count(q, k, v))


def _recurrent(x: Shape, w1: Shape, w2: Shape, *_: object, out_shape: object = None, **__: object) -> int:
    return 2 * x[0] * x[1] * (math.prod(w1) + math.prod(w2))


# Kernels that the CPU fuses and torch 2.13 therefore counts as nothing.
_FUSED: Final[dict[Any, Callable[..., int]]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten.mkldnn_rnn_layer: _recurrent,
}


def count_macs(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> int:
    """MACs of one sample; `example_inputs` hold samples along dimension 0. The model is left as it was."""
    return macs_by_module(model, example_inputs)[""]


def macs_by_module(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Mapping[str, int]:
    """MACs of one sample in every module, those of its children included; the model itself is "".

    A module that runs twice counts twice. Modules that run no convolution or matrix product are left out.
    """
    example_inputs = example_tuple(model, example_inputs)
    batch = example_inputs[0].shape[0] if example_inputs and example_inputs[0].ndim else 1
    with evaluating(model), _without_gradients(model), FlopCounterMode(display=False, custom_mapping=_FUSED) as counter:
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


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """No gradients, and no parameter that asks for one: FlopCounterMode trips over those in torch 2.13."""
    asking = [p for p in model.parameters() if p.requires_grad]
    try:
        for p in asking:
            p.requires_grad_(False)
        with torch.no_grad():
            yield
    finally:
        for p in asking:
            p.requires_grad_(True)
