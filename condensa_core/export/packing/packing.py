"""`model.packed.onnx`: the smallest file that a stock ONNX Runtime loads, computing exactly what the plain one does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from condensa_core.errors import OUR_FAULT, ExportFailed, UsageError, first_line
from condensa_core.export.onnx_file import load_onnx
from condensa_core.export.packing.assembly import assembled, parameters_of
from condensa_core.export.packing.constants import constant_nodes, densify, evaluate
from condensa_core.export.packing.encoding import Encoding
from condensa_core.export.packing.encodings import smallest
from condensa_core.export.packing.expressions import FOLDING_LIMIT, Constant, Writer, cast
from condensa_core.export.packing.folding import left_unfolded
from condensa_core.export.provenance import strip
from condensa_core.export.publish import publish
from condensa_core.schemes.terms import Term

if TYPE_CHECKING:
    import onnx

TOLERANCE: Final = 1e-6  # largest difference of a decoded weight to the tensor's largest, where a term is a product
_OLDEST_OPSET: Final = 13
_KINDS: Final = (np.float32, np.float16, np.float64, np.int8, np.uint8)


@dataclass(frozen=True)
class PackedTensor:
    """How one initializer of the plain file is stored: `encoding` says it in words."""

    name: str
    shape: tuple[int, ...]
    encoding: str
    size_bytes: int
    dense_bytes: int


@dataclass(frozen=True)
class PackedFile:
    """A packed file that was loaded, decoded and compared before it was written.

    `dense_bytes` is the size of the plain file it holds. `error` is the largest difference of a decoded weight to the
    plain file's, relative to the largest weight of its tensor: 0, or up to 1e-6 where a term is a product.
    """

    path: Path
    size_bytes: int
    sha256: str
    dense_bytes: int
    error: float
    tensors: tuple[PackedTensor, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller than the plain file."""
        return self.dense_bytes / self.size_bytes


def pack_onnx(source: str | Path, path: str | Path, terms: Mapping[str, Sequence[Term]] | None = None) -> PackedFile:
    """Write the ONNX file `source` with every weight in its smallest form; whole or not at all.

    Exact forms are found in the numbers themselves: zeros, repeated values, integers times a scale, narrow types, equal
    rows. `terms` (by parameter name, as codes give them) add what cannot be seen: products, sums. A tensor of the file
    is matched to terms by its name, else by its values, transposed or with its rows in another order.
    What is decoded is checked against the source before writing: a form that ONNX Runtime would not compute once at
    load, or that gives other numbers (beyond 1e-6 for terms), is not used. The same input gives the same bytes.
    UsageError for a source that is no self-contained ONNX file of opset 13 or later.
    """
    path = Path(path)
    _, model = load_onnx(Path(source))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise UsageError(f"{source} has opset {opset}; packed files need {_OLDEST_OPSET}", hint="export it anew")
    densify(model)
    strip(model)
    dense = {t.name: _array(t) for t in model.graph.initializer}
    encodings = _encodings(model, dense, terms or {})
    while True:
        packed = _written(model, encodings)
        bad, error = _wrong(packed, dense, encodings)
        if not bad:
            break
        encodings = {name: encoding for name, encoding in encodings.items() if name not in bad}
    content = _checked_bytes(packed)
    publish(path, content)
    return PackedFile(
        path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        dense_bytes=model.ByteSize(),
        error=error,
        tensors=tuple(_record(t, encodings.get(t.name)) for t in model.graph.initializer),
    )


def _encodings(
    model: onnx.ModelProto, dense: Mapping[str, np.ndarray], terms: Mapping[str, Sequence[Term]]
) -> dict[str, Encoding]:
    """The forms that are smaller than the tensors as they are, by name."""
    overridable = {value.name for value in model.graph.input}
    parameters = parameters_of(terms)
    found = {}
    for name, values in dense.items():
        if name in overridable or values.dtype not in _KINDS or values.nbytes >= FOLDING_LIMIT:
            continue
        with np.errstate(over="ignore"):
            wide = values.astype(np.float32)
        if not np.array_equal(wide.astype(values.dtype), values):
            continue  # double precision that is needed, or NaN
        best = smallest(wide)
        of_terms = assembled(name, wide, parameters)
        if of_terms is not None and of_terms.size_bytes < best.size_bytes:
            best = of_terms
        if isinstance(best.expression, Constant):
            continue
        if values.dtype != np.float32:
            best = Encoding(best.label, cast(best.expression, values.dtype.type), best.exact)
        if best.size_bytes < values.nbytes:
            found[name] = best
    return found


def _written(model: onnx.ModelProto, encodings: Mapping[str, Encoding]) -> onnx.ModelProto:
    """The model with these tensors computed from their stored forms."""
    import onnx

    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    names = {t.name for t in model.graph.initializer} | {v.name for v in (*model.graph.input, *model.graph.output)}
    writer = Writer(names | {name for node in model.graph.node for name in (*node.input, *node.output)})
    for name, encoding in encodings.items():
        writer.add_as(name, encoding.expression)
    kept = [t for t in model.graph.initializer if t.name not in encodings]
    del packed.graph.initializer[:]
    packed.graph.initializer.extend([*kept, *writer.initializers()])
    del packed.graph.node[:]
    packed.graph.node.extend([*writer.nodes, *model.graph.node])
    return packed


def _wrong(
    packed: onnx.ModelProto, dense: Mapping[str, np.ndarray], encodings: Mapping[str, Encoding]
) -> tuple[set[str], float]:
    """The tensors that may not be stored as they are: decoded to something else, or at every inference; the error."""
    decoded = evaluate(packed, constant_nodes(packed), list(encodings))
    errors = {name: _error(decoded[name], dense[name]) for name in encodings}
    bad = {name for name, error in errors.items() if not error <= (0 if encodings[name].exact else TOLERANCE)}
    bad |= left_unfolded(packed, encodings)
    return bad, max((error for name, error in errors.items() if name not in bad), default=0.0)


def _error(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    if np.array_equal(ours, theirs):
        return 0.0
    wide = theirs.astype(np.float64)
    return float(np.abs(ours - wide).max() / np.abs(wide).max()) if wide.any() else float("inf")


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    import onnx

    return onnx.numpy_helper.to_array(tensor)


def _record(tensor: onnx.TensorProto, encoding: Encoding | None) -> PackedTensor:
    values = _array(tensor)
    size = values.nbytes if encoding is None else encoding.size_bytes
    label = str(values.dtype) if encoding is None else encoding.label
    return PackedTensor(tensor.name, values.shape, label, size, values.nbytes)


def _checked_bytes(model: onnx.ModelProto) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ExportFailed(f"the packed ONNX model is not valid: {first_line(err)}", hint=OUR_FAULT) from err
    return model.SerializeToString(deterministic=True)
