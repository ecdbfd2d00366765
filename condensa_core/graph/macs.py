"""Multiply-accumulates of convolutions and matrix products, as torch itself counts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from condensa_core.errors import WorkloadError, first_line
from condensa_core.graph.capture import evaluating_unfused
from condensa_core.graph.example import example_tuple, samples_of

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


@dataclass(frozen=True)
class Seen:
    """What one forward showed: the MACs of one sample, and the shape of the first tensor that each module returned."""

    macs: int
    outputs: Mapping[str, Shape]


def count_macs(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> int:
    """MACs of one sample; `example_inputs` hold samples along dimension 0. The model is left as it was."""
    return run_once(model, example_inputs).macs


def run_once(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Seen:
    """One forward, counted as torch counts; a module that runs twice counts twice.

    WorkloadError if the model does not run on the inputs. It is left as it was.
    """
    example = example_tuple(model, example_inputs)
    outputs: dict[str, Shape] = {}
    with (
        evaluating_unfused(model),
        _without_gradients(model),
        _watched(model, outputs),
        FlopCounterMode(display=False, custom_mapping=_FUSED) as counter,
    ):
        try:
            model(*example)
        except Exception as error:  # the forward is the user's code
            shapes = ", ".join(str(tuple(x.shape)) for x in example)
            raise WorkloadError(
                f"{type(model).__name__} does not run on an example input of shape {shapes}: {first_line(error)}",
                hint="check the model's input shape",
            ) from error
    counted = sum(counter.get_flop_counts().get("Global", {}).values())
    return Seen(counted // (2 * max(1, samples_of(example))), outputs)


@contextmanager
def _watched(model: nn.Module, outputs: dict[str, Shape]) -> Iterator[None]:
    """Writes into `outputs` what modules return, by each of their names."""

    def watch(name: str, output: object) -> None:
        first = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        if first is not None:
            outputs[name] = tuple(first.shape)

    handles = [
        module.register_forward_hook(lambda _module, _given, output, name=name: watch(name, output))
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
