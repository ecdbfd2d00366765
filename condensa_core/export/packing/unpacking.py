"""A packed file as the plain one again: weights stored as what they are."""

from __future__ import annotations

from pathlib import Path

from condensa_core.errors import UsageError
from condensa_core.export.onnx_file import OnnxFile, describe, load_onnx
from condensa_core.export.packing.constants import constant_nodes, densify
from condensa_core.export.publish import publish


def unpack_onnx(source: str | Path, path: str | Path) -> OnnxFile:
    """Write the file with every constant computed and stored, which is what TensorRT and other compilers need.

    Also widens float16 weights that are cast at load. Nothing is fused or reordered: the rest of the graph is that of
    the source. UsageError for a file that is no ONNX model, or in which nothing is packed.
    """
    path = Path(path)
    _, model = load_onnx(Path(source))
    if not constant_nodes(model):
        raise UsageError(f"{source} has nothing to unpack: all its weights are plain", hint="use it as it is")
    densify(model)
    content = model.SerializeToString(deterministic=True)
    publish(path, content)
    return describe(path, content, model)
