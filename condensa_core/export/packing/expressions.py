"""What a runtime computes once, at load: ordinary ONNX operators on stored arrays, as a tree with an exact size.

ONNX Runtime folds a node into a constant when all its inputs are constants, its output's shape can be inferred without
running it and that output takes at most 1 GiB (since 1.27, PR 28055). So no operator here has a shape that depends on
data: no NonZero, no Compress.
"""

from __future__ import annotations

import hashlib
import itertools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

FOLDING_LIMIT: Final = 2**30  # bytes of one output
BFLOAT16: Final = "bfloat16"  # numpy has no such type: the upper halves of float32 numbers, as uint16


@dataclass(frozen=True, eq=False)
class Constant:
    """An array as it is stored."""

    values: np.ndarray
    element: str | None = None  # BFLOAT16, or the type that numpy says

    def key(self) -> tuple[object, ...]:
        """Equal for equal contents."""
        digest = hashlib.sha256(self.values.tobytes()).digest()
        return (self.element or self.values.dtype.str, self.values.shape, digest)


@dataclass(frozen=True, eq=False)
class Operation:
    """One ONNX operator of the default domain with one output."""

    operator: str
    inputs: tuple[Expression, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


Expression = Constant | Operation


def operation(operator: str, *inputs: Expression, **attributes: Any) -> Operation:
    """`Operation`, as it is read."""
    return Operation(operator, inputs, attributes)


def cast(expression: Expression, dtype: type[np.generic]) -> Operation:
    """The expression's values in another type."""
    import onnx

    return operation("Cast", expression, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def integers(*values: int) -> Constant:
    """Sizes and axes, as operators take them."""
    return Constant(np.array(values, dtype=np.int64))


def index(value: int) -> Constant:
    """A single int32 number."""
    return Constant(np.array(value, dtype=np.int32))


def reshaped(expression: Expression, *shape: int) -> Expression:
    """The same values in row-major order, laid out as `shape`; a stored array is stored in that layout."""
    if isinstance(expression, Constant):
        return Constant(expression.values.reshape(shape), expression.element)
    return operation("Reshape", expression, integers(*shape))


def stored_bytes(*expressions: Expression) -> int:
    """Bytes the expressions take in a file, parts that they share counted once, names of two letters."""
    writer = Writer(frozenset())
    for expression in expressions:
        writer.add(expression)
    return writer.size_bytes


class Writer:
    """Expressions as initializers and nodes of a graph; equal parts are written once.

    `taken` are the names the graph already uses. Names are as short as they can be: they are a part of the file.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[tuple[str, Constant]] = []
        self.size_bytes = 0
        self._names: dict[tuple[object, ...], str] = {}
        taken = frozenset(taken)
        letters = string.ascii_letters + string.digits
        words = ("_" + "".join(w) for n in itertools.count(1) for w in itertools.product(letters, repeat=n))
        self._fresh = (word for word in words if word not in taken)

    def add(self, expression: Expression) -> str:
        """Write what is not yet written; the name of the expression's value."""
        import onnx

        if isinstance(expression, Constant):
            key = expression.key()
            if key not in self._names:
                self._names[key] = next(self._fresh)
                self.constants.append((self._names[key], expression))
                self.size_bytes += _initializer_bytes(expression, len(self._names[key]))
            return self._names[key]
        inputs = [self.add(part) for part in expression.inputs]
        attributes = tuple(sorted((name, str(value)) for name, value in expression.attributes.items()))
        key = (expression.operator, *inputs, attributes)
        if key not in self._names:
            self._names[key] = next(self._fresh)
            node = onnx.helper.make_node(expression.operator, inputs, [self._names[key]], **expression.attributes)
            self.nodes.append(node)
            self.size_bytes += _framed(node.ByteSize())
        return self._names[key]

    def add_as(self, name: str, expression: Expression) -> None:
        """Write the expression so that its value has this name."""
        import onnx

        before = len(self.nodes)
        inner = self.add(expression)
        if len(self.nodes) > before and self.nodes[-1].output[0] == inner:
            node = self.nodes[-1]
            self._names = {k: (name if v == inner else v) for k, v in self._names.items()}
            self.size_bytes += len(name) - len(inner)
            node.output[0] = name
        else:  # stored as it is, or equal to another tensor
            self.nodes.append(onnx.helper.make_node("Identity", [inner], [name]))
            self.size_bytes += _framed(self.nodes[-1].ByteSize())

    def initializers(self) -> list[onnx.TensorProto]:
        """The stored arrays."""
        return [tensor_proto(name, constant) for name, constant in self.constants]


def tensor_proto(name: str, constant: Constant) -> onnx.TensorProto:
    """The stored form of a constant."""
    import onnx

    tensor = onnx.numpy_helper.from_array(np.asarray(constant.values, order="C"), name=name)
    if constant.element == BFLOAT16:
        tensor.data_type = onnx.TensorProto.BFLOAT16
    return tensor


def _initializer_bytes(constant: Constant, name_length: int) -> int:
    dims = sum(1 + _varint(size) for size in constant.values.shape)
    payload = constant.values.nbytes
    return _framed(dims + 2 + 2 + name_length + 1 + _varint(payload) + payload)


def _framed(size: int) -> int:
    return 1 + _varint(size) + size


def _varint(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))
