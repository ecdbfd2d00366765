"""A float32 graph that computes in float16."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from condensa_core.errors import ExportFailed, first_line
from condensa_core.export.packing.constants import names_read
from condensa_core.export.session import onnxruntime

if TYPE_CHECKING:
    import onnx


def cast_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose weights and tensors are float16; its inputs and outputs keep their types.

    Weights beyond +-65504 become that, those nearer to 0 than 5.96e-8 become +-5.96e-8: whether the model bears it is
    for its outputs to say. Operators that need float32 (ONNX Runtime's list) stay in it, between casts.
    ExportFailed where the graph cannot be typed. The caster is ONNX Runtime's own, onnxruntime.transformers.float16.
    """
    onnxruntime()  # MissingRuntime with the extra to install
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        convert, kept = _caster()
        cast: onnx.ModelProto = convert(copy, keep_io_types=True, op_block_list=[*kept, *_only_float32(copy)])
        _sort(cast.graph)
        onnx.checker.check_model(cast, full_check=True)
    except Exception as err:  # the caster walks foreign graphs and raises whatever it stumbles over
        raise ExportFailed(
            f"the graph cannot be cast to float16: {first_line(err)}", hint="build the engine in fp32"
        ) from err
    return cast


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node behind those it reads, in place: the caster appends its own at the end (onnxruntime 1.31)."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    reads = {place: {makers[n] for n in names_read([node]) if n in makers} for place, node in enumerate(graph.node)}
    nodes = [graph.node[place] for place in TopologicalSorter(reads).static_order()]
    del graph.node[:]
    graph.node.extend(nodes)


def _only_float32(model: onnx.ModelProto) -> tuple[str, ...]:
    """Operators that stay because the file's version of them takes no scales in float16, which the caster overlooks."""
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    return ("QuantizeLinear", "DequantizeLinear") if version < 19 else ()


def _caster() -> tuple[Callable[..., onnx.ModelProto], Sequence[str]]:
    """ONNX Runtime's caster, and the operators that it leaves in float32."""
    # The package appends its folder to sys.path. There it stays: others of its modules, and onnxruntime.quantization,
    # cannot be imported without, and at the end it hides nothing.
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    return convert_float_to_float16, DEFAULT_OP_BLOCK_LIST
