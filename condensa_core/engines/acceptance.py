"""What TensorRT cannot take, told before it is asked: its own words name neither the cause nor the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from condensa_core.errors import UsageError

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "fp16", "int8"]

_ROUNDING: Final = ("QuantizeLinear", "DequantizeLinear")
_DYNAMIC: Final = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger", "ConvInteger")
_RECURRENT: Final = "DynamicQuantizeLSTM"
_REQUANTIZE: Final = (
    "round the float file anew for it: quantize_onnx(..., target='tensorrt'), symmetric, with biases left in float"
)


def precision_of(model: onnx.ModelProto) -> Precision:
    """What the file computes in: int8 where it rounds, else the type of its weights, fp32 or fp16.

    Weights that are stored in int8 and only decoded are of their scale's type: nothing is computed in integers.
    """
    import onnx

    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    scales = {node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    kinds = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1 or tensor.name in scales}
    half = onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    return "fp16" if half else "fp32"


def require_precision(model: onnx.ModelProto, asked: Precision, title: str) -> None:
    """UsageError unless the file computes in what is asked, or can be cast to it: from fp32 to fp16, no other way.

    TensorRT has no flag for it: its networks are strongly typed, so the types are those of the file.
    """
    found = precision_of(model)
    if asked == found or (asked, found) == ("fp16", "fp32"):
        return
    if asked == "int8":
        hint = "it takes calibration: quantize_onnx(..., target='tensorrt'), or rules with activations in a recipe"
        raise UsageError(f"{title} has no quantize nodes, without which TensorRT does not compute in int8", hint=hint)
    raise UsageError(f"{title} computes in {found}, which no cast turns into {asked}", hint="build the float32 file")


def require_rounding_it_takes(model: onnx.ModelProto, title: str) -> None:
    """UsageError for integers of another runtime: scales found at run time, zero points, integer biases."""
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    recurrent = next((node for node in model.graph.node if node.op_type == _RECURRENT), None)
    if recurrent is not None:
        raise UsageError(
            f"{title}: {recurrent.op_type} {recurrent.name!r} is an LSTM in int8, which TensorRT does not have",
            hint="keep the LSTM in float; the layers around it can compute in int8",
        )
    for node in model.graph.node:
        where = f"{title}: {node.op_type} {node.name!r}"
        if node.op_type in _DYNAMIC or node.op_type.startswith(("QLinear", "QGemm", "QAttention")):
            raise UsageError(f"{where} is an integer operator of ONNX Runtime, which TensorRT lacks", hint=_REQUANTIZE)
        if node.op_type not in _ROUNDING:
            continue
        stored = constants.get(node.input[0])
        if stored is not None and stored.data_type == onnx.TensorProto.INT32:
            raise UsageError(f"{where} is a bias in int32, which TensorRT does not take", hint=_REQUANTIZE)
        zero = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if zero is not None and onnx.numpy_helper.to_array(zero).any():
            raise UsageError(f"{where} has a zero point, and TensorRT rounds around zero only", hint=_REQUANTIZE)
