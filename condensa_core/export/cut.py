"""A narrower model's graph from the wide model's file: the same nodes, other weights.

Tracing costs seconds, exchanging weights milliseconds, and a search exports dozens of candidates that differ only in
channel counts. Where the exchange is not shown to be right it is refused: every weight must be found by name, and the
result must compute what the module computes on random inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from condensa_core.errors import ExportFailed, MissingRuntime, ParityError, UsageError
from condensa_core.export.onnx_file import OnnxFile, load_onnx
from condensa_core.export.parity import compare
from condensa_core.export.session import OnnxModel

if TYPE_CHECKING:
    import onnx

_TOLERANCE = 1e-4  # relative: float32 sums in another order, nothing else


def cut_graph(like: OnnxFile, model: nn.Module, example_inputs: tuple[Tensor, ...]) -> onnx.ModelProto | None:
    """The graph of `like` with the weights of `model` (in eval mode), or None where that is not shown to be the same.

    Shown means: the floating tensors of `model.state_dict()` and the floating weights of the file have the same names,
    so none was folded into another; full shape inference accepts the result; and ONNX Runtime gives the outputs of
    the module on random inputs of two batch sizes.
    """
    import onnx

    try:
        _, graph = load_onnx(like.path)
    except UsageError:  # the file was moved or changed since
        return None
    _free_flattening(graph)
    if not _exchange_weights(graph, model.state_dict()):
        return None
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return None
    return graph if _computes(graph, model, example_inputs) else None


def _exchange_weights(graph: onnx.ModelProto, state: Mapping[str, Tensor]) -> bool:
    """Put the model's floating tensors in place of the file's, by name; False when the names do not pair up exactly.

    A tensor of the state without a weight in the file was folded, merged or dropped because of its values, which the
    narrower model does not share; a weight without a tensor was computed from one. Single numbers are the code's own.
    """
    from onnx import TensorProto, numpy_helper

    floating = {name: x for name, x in state.items() if x.is_floating_point()}
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    weights = {
        t.name: t
        for t in graph.graph.initializer
        if t.name in floating or (t.data_type in kinds and math.prod(t.dims) > 1)
    }
    if weights.keys() != floating.keys():
        return False
    for name, tensor in weights.items():
        new = floating[name].detach().cpu().contiguous()
        if new.dtype != torch.float32 or tensor.data_type != TensorProto.FLOAT or new.ndim != len(tensor.dims):
            return False
        tensor.CopyFrom(numpy_helper.from_array(new.numpy(), name=name))
    return True


def _free_flattening(graph: onnx.ModelProto) -> None:
    """Replace each Reshape to a constant [-1, k] that flattens everything behind the batch by Flatten(axis=1).

    torch.onnx spells k out, and k counts channels. Both nodes give the same result exactly when the sizes behind the
    input's first dimension are known and multiply to k.
    """
    import onnx
    from onnx import numpy_helper

    inferred = onnx.shape_inference.infer_shapes(graph).graph
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*inferred.value_info, *inferred.input)}
    constants = {t.name: t for t in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants or node.input[0] not in shapes:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).tolist()
        behind = [d.dim_value for d in shapes[node.input[0]][1:]]  # 0 where unknown
        if len(target) == 2 and target[0] == -1 and behind and target[1] == math.prod(behind) > 0:
            flatten = onnx.helper.make_node("Flatten", [node.input[0]], node.output, name=node.name, axis=1)
            node.CopyFrom(flatten)
    used = {name for node in graph.graph.node for name in node.input}
    kept = [t for t in graph.graph.initializer if t.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)


def _computes(graph: onnx.ModelProto, model: nn.Module, example_inputs: tuple[Tensor, ...]) -> bool:
    """Whether ONNX Runtime gives the module's outputs on the example's shapes, and on one sample more."""
    generator = torch.Generator().manual_seed(0)
    try:
        file = OnnxModel(graph.SerializeToString())
        with torch.no_grad():
            batches = [tuple(_like(x, len(x) + extra, generator) for x in example_inputs) for extra in (0, 1)]
            return compare(model, file, batches, _TOLERANCE).ok
    except (MissingRuntime, ExportFailed, ParityError, UsageError):
        return False


def _like(x: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Random numbers of the example's kind; integers are drawn from the example's own, which are valid ids."""
    shape = (batch, *x.shape[1:])
    if x.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=x.dtype).to(x.device)
    picks = torch.randint(x.numel(), (math.prod(shape),), generator=generator).to(x.device)
    return x.flatten()[picks].reshape(shape)
