"""A file of the run as what gives its accuracy."""

from __future__ import annotations

from pathlib import Path

from condensa_core.bench import examine
from condensa_core.bench.arithmetic import rounds_around_zero
from condensa_core.export import OnnxModel


def judged_file(path: Path) -> OnnxModel:
    """The file in the session that is timed on ONNX Runtime's CPU; one in TensorRT's integers node by node.

    On x86 without VNNI fused kernels add products of signed bytes in 16 bits, TensorRT's never do: its accuracy would
    be told by a session that nobody runs.
    """
    return OnnxModel(path, fused=not rounds_around_zero(examine(path)))
