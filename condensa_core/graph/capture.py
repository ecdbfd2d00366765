"""The operators a model runs, as `torch.export` sees them, with the model left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from condensa_core.errors import WorkloadError


@dataclass(frozen=True, eq=False)
class Capture:
    """A model's ATen graph (training IR: `linear`, `batch_norm` and in-place operators are kept whole).

    `tensors` names the parameter or buffer behind a placeholder, by the first of its names in the model; `aliases` maps
    the other names of tied tensors to that first one; `shapes` has every parameter and buffer by first name.
    """

    graph: Graph
    tensors: Mapping[Node, str]
    aliases: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    modules: Mapping[str, nn.Module]


def capture(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Capture:
    """The model's graph in evaluation mode. WorkloadError, with the reason, where it cannot be exported."""
    with evaluating(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns about its own internals; failures are exceptions
        try:
            program = torch.export.export(model, example_inputs, strict=False)
        except Exception as error:  # torch.export has no common exception class, and the forward is the user's
            raise WorkloadError(
                f"torch.export cannot capture {type(model).__name__}: {first_line(error)}",
                hint="the forward must run on the example input and may not branch on tensor values; compute such "
                "branches with torch.where, or move them out of the model",
            ) from error
    first, aliases = _names(model)
    signature = program.graph_signature
    behind = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    return Capture(
        graph=program.graph,
        tensors={
            node: aliases.get(behind[node.name], behind[node.name]) for node in placeholders if node.name in behind
        },
        aliases=aliases,
        shapes={name: tuple(tensor.shape) for name, tensor in first.items()},
        modules=dict(model.named_modules(remove_duplicate=False)),
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model.eval()`, with every module's own training flag restored afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def module_of(node: Node) -> str:
    """The name of the innermost module that ran this operator; empty for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0].partition("@")[0] if stack else ""  # "conv@1" is the second call of one module


def operator_name(node: Node) -> str:
    """The ATen name of a call, such as `aten.conv2d.default`."""
    return str(node.target)


def shape_of(node: Node) -> tuple[int, ...] | None:
    """The shape of a node's tensor; None if its value is no single tensor."""
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None


def first_line(error: Exception) -> str:
    """The first non-empty line of an exception's text, or its class name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _names(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    first: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[int, str] = {}
    for named in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        for name, tensor in named:
            if id(tensor) in seen:
                aliases[name] = seen[id(tensor)]
            else:
                seen[id(tensor)] = name
                first[name] = tensor
    return first, aliases
