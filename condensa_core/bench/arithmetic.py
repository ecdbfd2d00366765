"""What a file computes in, which decides how far two sound executions of it may be apart."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final, Literal

from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.protobuf import fields, message, number, text

Arithmetic = Literal["float32", "float16", "integer"]

# max |difference| / max |value| that is allowed between a session and the same file computed node by node.
# float32: sums in another order, 1e-8 to 1e-6. float16: the rounding between nodes that a fused kernel leaves out.
# integer: where sums in another order fall to the other side, a value moves by a step of its grid of 255. A trained
# network of three layers (tests/bench/test_parity.py) is off by 0.002 here, and by 0.17 where kernels saturate.
TOLERANCES: Final = {"float32": 1e-4, "float16": 1e-2, "integer": 0.05}
TF32_TOLERANCE: Final = 5e-3  # GPUs multiply float32 with 10 bits of mantissa, unless told otherwise
_INTEGER_OPERATORS: Final = frozenset({
    "QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "QGemm", "QAttention", "MatMulNBits",
})  # fmt: skip
_HALF: Final = (10, 16)  # FLOAT16 and BFLOAT16 in TensorProto.DataType


def arithmetic_of(file: ModelFile) -> Arithmetic:
    """Of an ONNX file by its nodes; weights stored in half the bytes and cast at load compute in float32.

    A program of torch is taken for float32 unless an input is a half.
    """
    if any(value.element in ("FLOAT16", "BFLOAT16") for value in file.inputs):
        return "float16"
    return _of_nodes(file.path) if file.kind == "onnx" else "float32"


def tolerance_of(arithmetic: Arithmetic, device: str) -> float:
    """How far a session of the device may be from the file computed node by node, relatively."""
    tolerance = TOLERANCES[arithmetic]
    return max(tolerance, TF32_TOLERANCE) if device == "cuda" else tolerance


def _of_nodes(path: Path) -> Arithmetic:
    halves: set[str] = set()
    read: set[str] = set()
    rounds = casts = False
    with path.open("rb") as opened:
        whole = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    graph = next(message(value) for field, value in fields(whole) if field == 7)
    for field, value in fields(graph):
        if field == 1:
            operator, inputs, target = _node(message(value))
            rounds = rounds or operator in _INTEGER_OPERATORS or operator.startswith("QLinear")
            casts = casts or (operator == "Cast" and target in _HALF)
            if operator not in ("Cast", "DequantizeLinear"):
                read.update(inputs)
        elif field == 5:
            name, kind = _tensor(message(value))
            if kind in _HALF:
                halves.add(name)
    if rounds:
        return "integer"
    return "float16" if casts or halves & read else "float32"


def _node(node: memoryview) -> tuple[str, list[str], int]:
    """The operator, the names of its inputs, and the type that a Cast casts to."""
    operator, inputs, target = "", [], 0
    for field, value in fields(node):
        if field == 1:
            inputs.append(text(value))
        elif field == 4:
            operator = text(value)
        elif field == 5:
            attribute = dict(fields(message(value)))
            if text(attribute.get(1, memoryview(b""))) == "to":
                target = number(attribute.get(3, 0))
    return operator, inputs, target


def _tensor(tensor: memoryview) -> tuple[str, int]:
    name, kind = "", 0
    for field, value in fields(tensor):
        if field == 2:
            kind = number(value)
        elif field == 8:
            name = text(value)
    return name, kind
