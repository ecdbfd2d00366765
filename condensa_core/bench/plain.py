"""A file computed as it is written down: node by node, in the arithmetic of each, by no kernel that fuses any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.model_file import ModelFile
from condensa_core.bench.onnxruntime_values import are_tensors, flattened, read_value
from condensa_core.bench.runner import open_runner
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import MissingRuntime, UsageError, first_line


def plain_outputs(file: ModelFile, batches: Sequence[Feeds], *, seconds: float) -> list[Feeds]:
    """The file's outputs on the batches, in order: all of them, or as many as `seconds` allow, but at least the first.

    ONNX files by ONNX Runtime on the CPU with all graph optimisations off, programs of torch by torch, one operator
    after another. UsageError for a file that does not run, MissingRuntime without the runtime.
    """
    if file.kind == "onnx":
        return _within(seconds, batches, _onnx_session(file))
    with open_runner(BenchTarget("torch"), file.path, batches[0]) as runner:

        def outputs(feeds: Feeds) -> Feeds:
            runner.feed(feeds)
            runner.run()
            return runner.outputs()

        return _within(seconds, batches, outputs)


def _within(seconds: float, batches: Sequence[Feeds], outputs: Any) -> list[Feeds]:
    deadline = time.monotonic() + seconds
    found = [outputs(batches[0])]
    for feeds in batches[1:]:
        if time.monotonic() > deadline:
            break
        found.append(outputs(feeds))
    return found


def _onnx_session(file: ModelFile) -> Any:
    try:
        import onnxruntime
    except ImportError as err:
        raise MissingRuntime(
            "ONNX Runtime is not installed, which computes the reference",
            hint="install the extra: pip install '.[cpu]' from a checkout",
        ) from err
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # the runtime's errors share no base class with a name
        raise UsageError(
            f"ONNX Runtime does not load {file.path.name} unoptimised: {first_line(err)}",
            hint="no outputs can be checked then: export it again, or with another opset",
        ) from err
    described = session.get_outputs()
    names = [value.name for value in described]
    tensors = are_tensors([value.type for value in described])

    def outputs(feeds: Feeds) -> Feeds:
        try:
            if not tensors:
                return flattened(dict(zip(names, session.run(names, dict(feeds)), strict=True)))
            placed = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
            found = session.run_with_ort_values(names, placed)
        except Exception as err:  # the runtime's errors share no base class with a name
            raise UsageError(
                f"ONNX Runtime does not run {file.path.name} unoptimised: {first_line(err)}",
                hint="no outputs can be checked then: export it again, or with another opset",
            ) from err
        return dict(zip(names, map(read_value, found), strict=True))

    return outputs
