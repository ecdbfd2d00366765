"""What is known of an ONNX file without running it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from condensa_core.errors import UsageError, first_line

if TYPE_CHECKING:
    import onnx

Route = Literal["exported", "cut", "read"]


@dataclass(frozen=True)
class Signature:
    """An input or output of the graph; a free dimension is given by its symbol, such as `batch`."""

    name: str
    element: str  # FLOAT, FLOAT16, INT64, ...
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file on disk.

    `modules` maps node name -> name of the module it came from (empty for files read back: the table is not stored in
    the file). `weight_bytes` counts the stored initializers, `float16_parameters` those stored in half the bytes.
    """

    path: Path
    size_bytes: int
    sha256: str
    nodes: int
    weight_bytes: int
    opset: int
    inputs: tuple[Signature, ...]
    outputs: tuple[Signature, ...]
    route: Route = "read"
    float16_parameters: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict, repr=False)


def describe(
    path: Path,
    content: bytes,
    model: onnx.ModelProto,
    *,
    route: Route = "read",
    modules: Mapping[str, str] | None = None,
    float16_parameters: frozenset[str] = frozenset(),
) -> OnnxFile:
    """The record of a model whose bytes are `content`."""
    initializers = {t.name for t in model.graph.initializer}
    return OnnxFile(
        path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        nodes=len(model.graph.node),
        weight_bytes=sum(_stored_bytes(t) for t in model.graph.initializer),
        opset=next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0),
        inputs=tuple(_signature(v) for v in model.graph.input if v.name not in initializers),
        outputs=tuple(_signature(v) for v in model.graph.output),
        route=route,
        float16_parameters=float16_parameters,
        modules=dict(modules or {}),
    )


def read_onnx(path: str | Path) -> OnnxFile:
    """What an existing file holds.

    UsageError for a missing or empty file, for one that is no valid ONNX model, and for weights kept in other files
    (their paths could point anywhere, and the size of the one file would mean nothing).
    """
    path = Path(path)
    content, model = load_onnx(path)
    return describe(path, content, model)


def load_onnx(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """The bytes and the checked model of a self-contained ONNX file; UsageError as `read_onnx` says."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        content = path.read_bytes()
    except FileNotFoundError as err:
        raise UsageError(f"no such file: {path}") from err
    except OSError as err:
        raise UsageError(
            f"cannot read {path}: {err.strerror or err}", hint="give a file that this user may read"
        ) from err
    if not content:
        raise UsageError(f"{path} is empty", hint="export it again: onnx.checker.check_model says what is wrong")
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as err:
        raise UsageError(
            f"{path} is not an ONNX model", hint="export it again: onnx.checker.check_model says what is wrong"
        ) from err
    outside = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise UsageError(
            f"{path} keeps {len(outside)} of its weights in other files (first: {outside[0]})",
            hint="save it as one file: onnx.save_model(model, path, save_as_external_data=False)",
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as err:
        raise UsageError(
            f"{path} is not a valid ONNX model: {first_line(err)}",
            hint="export it again: onnx.checker.check_model says what is wrong",
        ) from err
    return content, model


def _stored_bytes(tensor: onnx.TensorProto) -> int:
    import onnx

    if tensor.raw_data:
        return len(tensor.raw_data)
    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        bits = 4
    else:
        bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return math.ceil(math.prod(tensor.dims) * bits / 8)


def _signature(value: onnx.ValueInfoProto) -> Signature:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim)
    return Signature(value.name, onnx.TensorProto.DataType.Name(kind.elem_type), shape)
