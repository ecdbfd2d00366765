"""An ONNX file as a function on tensors, computed by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from condensa_core.errors import OUR_FAULT, ExportFailed, MissingRuntime, UsageError, first_line
from condensa_core.export.tried_first import tried_first

Inputs = Tensor | tuple[Tensor, ...]


def onnxruntime() -> ModuleType:
    """The runtime's module; MissingRuntime with the extra to install if it is not there."""
    try:
        import onnxruntime as module
    except ImportError as err:
        raise MissingRuntime(
            "ONNX Runtime is not installed",
            hint="install the extra: pip install '.[cpu]' from a checkout ('.[gpu]' for an NVIDIA GPU, never both)",
        ) from err
    return module


class OnnxModel(nn.Module):
    """The file as a module without parameters: tensors in (same order as the graph's inputs), tensors out.

    `source` is a path, or the bytes of a model. One output is returned as a tensor, several as a tuple. It runs on the
    CPU and gives no gradients; `threads` None takes the runtime's own choice. `fused` False computes node by node, in
    the arithmetic that is written down. So everything that judges a module (accuracy, agreement) can judge the file.
    """

    def __init__(self, source: str | Path | bytes, *, threads: int | None = None, fused: bool = True) -> None:
        super().__init__()
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # silent: the core never prints, and errors are raised
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other sessions may share the process
        if threads is not None:
            options.intra_op_num_threads = threads
        if not fused:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.title = "the ONNX graph" if isinstance(source, bytes) else Path(source).name
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise UsageError(f"no such file: {source}")
        tried_first(source)
        try:
            self._session: Any = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as err:  # the runtime's errors share no base class with a name
            raise ExportFailed(f"ONNX Runtime refuses {self.title}: {first_line(err)}", hint=OUR_FAULT) from err
        self._names = [value.name for value in self._session.get_inputs()]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The graph's inputs, in the order in which tensors are given."""
        return tuple(self._names)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        if len(inputs) != len(self._names):
            names = ", ".join(self._names)
            raise UsageError(f"{self.title} takes {len(self._names)} inputs ({names}), got {len(inputs)}")
        feeds = {name: x.detach().cpu().contiguous().numpy() for name, x in zip(self._names, inputs, strict=True)}
        try:
            outputs = tuple(torch.from_numpy(y) for y in self._session.run(None, feeds))
        except Exception as err:  # the runtime's errors share no base class with a name
            raise ExportFailed(f"ONNX Runtime failed on {self.title}: {first_line(err)}", hint=OUR_FAULT) from err
        return outputs[0] if len(outputs) == 1 else outputs


def predict(path: str | Path, batches: Iterable[Inputs], *, threads: int | None = None) -> Iterator[Tensor]:
    """The file's first output for each batch of inputs (a tensor, or a tuple of the graph's inputs), in order."""
    model = OnnxModel(path, threads=threads)
    for batch in batches:
        outputs = model(*as_tuple(batch))
        yield outputs if isinstance(outputs, Tensor) else outputs[0]


def as_tuple(inputs: Inputs) -> tuple[Tensor, ...]:
    """Positional inputs of a batch."""
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
