"""ONNX Runtime: the CPU provider, and the CUDA provider without its silent fallback."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import MissingRuntime, UsageError, first_line

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeRunner:
    """An inference session whose inputs and outputs are bound once, so a run is the computation and little else.

    With one thread the work happens in the calling thread, where thread-CPU time sees all of it.
    """

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds) -> None:
        runtime = _onnxruntime(target)
        self.runtime = f"onnxruntime {runtime.__version__}"
        self.provider = _PROVIDERS[target.device]
        if self.provider not in runtime.get_available_providers():
            raise MissingRuntime(
                f"this ONNX Runtime has no {self.provider}",
                hint="pip uninstall onnxruntime, then install the extra: pip install '.[gpu]' from a checkout "
                "(both bring the same module)",
            )
        started = time.perf_counter()
        try:
            self._session: Any = runtime.InferenceSession(path, _options(runtime, target), providers=[self.provider])
        except Exception as err:  # the runtime's errors share no base class with a name
            raise UsageError(f"ONNX Runtime cannot load {path}: {first_line(err)}") from err
        self.load_s = time.perf_counter() - started
        used = self._session.get_providers()[0]
        if used != self.provider:
            raise MissingRuntime(f"ONNX Runtime fell back to {used}: {self.provider} could not start on this machine")
        self._binding = self._session.io_binding()
        for name, array in feeds.items():
            self._binding.bind_ortvalue_input(name, runtime.OrtValue.ortvalue_from_numpy(array, target.device, 0))
        self._outputs = [value.name for value in self._session.get_outputs()]
        for name in self._outputs:
            self._binding.bind_output(name, target.device)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> Feeds:
        return dict(zip(self._outputs, self._binding.copy_outputs_to_cpu(), strict=True))

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._binding, self._session  # the session's memory goes with its last reference


def _onnxruntime(target: BenchTarget) -> ModuleType:
    try:
        import onnxruntime
    except ImportError as err:
        extra = "gpu" if target.device == "cuda" else "cpu"
        hint = f"install the extra: pip install '.[{extra}]' from a checkout"
        raise MissingRuntime("ONNX Runtime is not installed", hint=hint) from err
    return onnxruntime


def _options(runtime: ModuleType, target: BenchTarget) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only; what matters is checked and raised here
    # Idle sessions that spin would charge their time to the one that is measured (2.6x on a VGG).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
