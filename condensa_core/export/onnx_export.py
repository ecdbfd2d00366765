"""A PyTorch model as one self-contained ONNX file."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from condensa_core.errors import OUR_FAULT, CondensaError, ExportFailed, first_line
from condensa_core.evaluation_mode import evaluating
from condensa_core.export.capture import dynamic_batch, quiet_exporters
from condensa_core.export.cut import cut_graph
from condensa_core.export.float16 import store_float16
from condensa_core.export.onnx_file import OnnxFile, Route, describe
from condensa_core.export.provenance import module_names, strip
from condensa_core.export.publish import publish

if TYPE_CHECKING:
    import onnx

_PROTOBUF_LIMIT = 2**31  # bytes of one message


def export_onnx(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    path: str | Path,
    *,
    opset: int = 20,
    float16_parameters: Set[str] = frozenset(),
    like: OnnxFile | None = None,
) -> OnnxFile:
    """The model in eval mode as an ONNX file with a free batch, written whole or not at all.

    Traces, local paths and doc strings are stripped; the node -> module table stays in the returned record.
    `float16_parameters` are `state_dict` names stored in two bytes a value and decoded by the runtime at load, exactly.
    `like` is the float32 file of a model with the same structure and other channel counts (the uncompressed reference):
    where it can be shown that only the weights differ they are exchanged (route "cut", 40 times cheaper than tracing on
    small networks), else the model is traced as usual. Fold BatchNorm before, or weights cannot be found by name.
    The model is not changed. UsageError for an example batch below 2, ExportFailed when the exporter, the checker or
    the float16 storage refuses.
    """
    path = Path(path)
    dynamic_batch(example_inputs)
    with evaluating(model):
        cut = cut_graph(like, model, example_inputs) if like is not None and like.opset == opset else None
        route: Route = "exported" if cut is None else "cut"
        graph = cut if cut is not None else _trace(model, example_inputs, opset)
    modules = module_names(graph) if like is None or cut is None else like.modules
    strip(graph)
    stored = store_float16(graph, model.state_dict(), float16_parameters) if float16_parameters else frozenset()
    content = _checked_bytes(graph)
    publish(path, content)
    return describe(path, content, graph, route=route, modules=modules, float16_parameters=stored)


def _trace(model: nn.Module, example_inputs: tuple[Tensor, ...], opset: int) -> onnx.ModelProto:
    try:
        with quiet_exporters(), torch.no_grad():
            program = torch.onnx.export(
                model,
                example_inputs,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=dynamic_batch(example_inputs),
                external_data=False,
                verbose=False,
                # optimize stays on: it folds BatchNorm, which ONNX Runtime does not
            )
    except CondensaError:
        raise
    except Exception as err:  # the exporter raises whatever the user's forward raises, and many types of its own
        raise ExportFailed(
            f"torch.onnx could not export {type(model).__name__}: {first_line(_origin(err))}",
            hint="condensa inspect shows where it stops; forward must not choose its way by the values of tensors",
        ) from err
    assert program is not None  # dynamo=True always returns a program
    return program.model_proto


def _origin(error: BaseException) -> BaseException:
    """What an error comes from: the exporter's own says that a step failed, and at its bottom lies what was wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _checked_bytes(graph: onnx.ModelProto) -> bytes:
    import onnx

    size = graph.ByteSize()
    if size >= _PROTOBUF_LIMIT:
        raise ExportFailed(
            f"the ONNX file would take {size / 2**30:.1f} GiB; one file holds less than 2 GiB",
            hint="take a smaller model: files with weights beside them are not written",
        )
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ExportFailed(f"the exported ONNX model is not valid: {first_line(err)}", hint=OUR_FAULT) from err
    return graph.SerializeToString(deterministic=True)
