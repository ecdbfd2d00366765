"""Does a stock ONNX Runtime decode a packed file once, at load?"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from condensa_core.errors import OUR_FAULT, ExportFailed, first_line
from condensa_core.export.session import onnxruntime
from condensa_core.export.tried_first import tried_first

if TYPE_CHECKING:
    import onnx


def left_unfolded(model: onnx.ModelProto, names: Collection[str]) -> set[str]:
    """Those of the tensors that a session with default options still computes at every inference.

    ExportFailed when ONNX Runtime does not load the model. The session's own optimised graph says it: a tensor that was
    folded is no node's output there.
    """
    import onnx

    runtime = onnxruntime()
    content = model.SerializeToString()
    tried_first(content)
    with tempfile.TemporaryDirectory() as folder:
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        try:
            runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as err:  # the runtime's errors share no base class with a name
            raise ExportFailed(f"ONNX Runtime refuses the packed model: {first_line(err)}", hint=OUR_FAULT) from err
        optimised = onnx.load(options.optimized_model_filepath)
    return {name for node in optimised.graph.node for name in node.output if name in names}
