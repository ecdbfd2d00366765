"""What a file computes in, which decides how far two sound executions of it may be apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.onnx_graph import ELEMENTS, read_graphs

Arithmetic = Literal["float32", "float16", "integer"]

# The largest difference, in units of an output's scale (`Difference`), that is allowed between a session and the same
# file computed node by node.
# float32: sums in another order, 1e-8 to 1e-6. float16: the rounding between nodes that a fused kernel leaves out.
# integer: where sums in another order fall to the other side, a value moves by a step of its grid of 255. A trained
# network of three layers (tests/bench/test_parity.py) is off by 0.002 here, and by 0.17 where kernels saturate.
TOLERANCES: Final = {"float32": 1e-4, "float16": 1e-2, "integer": 0.05}
TF32_TOLERANCE: Final = 5e-3  # GPUs multiply float32 with 10 bits of mantissa, unless told otherwise
_INTEGER_OPERATORS: Final = frozenset({
    "QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "QGemm", "QAttention", "MatMulNBits",
})  # fmt: skip
_HALF: Final = ("FLOAT16", "BFLOAT16")
_HALF_KINDS: Final = tuple(map(ELEMENTS.index, _HALF))


def arithmetic_of(file: ModelFile) -> Arithmetic:
    """Of an ONNX file by its nodes; weights stored in half the bytes and cast at load compute in float32.

    A program of torch is taken for float32 unless an input is a half.
    """
    if any(value.element in _HALF for value in file.inputs):
        return "float16"
    return _of_nodes(file.path) if file.kind == "onnx" else "float32"


def rounds_around_zero(file: ModelFile) -> bool:
    """Whether an ONNX file rounds to signed bytes, as TensorRT wants; fused kernels of CPUs may saturate on these."""
    for graph in read_graphs(file.path) if file.kind == "onnx" else ():
        signed = {tensor.name for tensor in graph.weights if tensor.element == "INT8"}
        if any(node.operator == "QuantizeLinear" and not signed.isdisjoint(node.inputs[2:]) for node in graph.nodes):
            return True
    return False


def tolerance_of(arithmetic: Arithmetic, device: str) -> float:
    """How far a session of the device may be from the file computed node by node, relatively."""
    tolerance = TOLERANCES[arithmetic]
    return max(tolerance, TF32_TOLERANCE) if device == "cuda" else tolerance


def _of_nodes(path: Path) -> Arithmetic:
    halves: set[str] = set()
    read: set[str] = set()
    rounds = casts = False
    for graph in read_graphs(path):
        halves.update(tensor.name for tensor in graph.weights if tensor.element in _HALF)
        for node in graph.nodes:
            rounds = rounds or node.operator in _INTEGER_OPERATORS or node.operator.startswith("QLinear")
            if node.operator == "Cast":
                casts = casts or node.numbers.get("to") in _HALF_KINDS
            elif node.operator != "DequantizeLinear":
                read.update(node.inputs)
    if rounds:
        return "integer"
    return "float16" if casts or halves & read else "float32"
