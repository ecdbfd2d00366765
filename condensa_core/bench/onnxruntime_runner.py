"""ONNX Runtime: its CPU, CUDA and TensorRT providers, without their silent fallback to the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.loading import refusal
from condensa_core.bench.onnxruntime_values import are_tensors, flattened, plainly_read, read_value
from condensa_core.bench.streams import Streams
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.platforms import nvidia_gpus

PROVIDERS: Final = {
    ("onnxruntime", "cpu"): "CPUExecutionProvider",
    ("onnxruntime", "cuda"): "CUDAExecutionProvider",
    ("onnxruntime-tensorrt", "cuda"): "TensorrtExecutionProvider",
}
_CPU: Final = "CPUExecutionProvider"
# Operators that compute shapes, which ONNX Runtime keeps on the CPU by design beside any GPU.
_SHAPE_WORK: Final = frozenset({
    "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather",
    "Greater", "Identity", "Less", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Range", "ReduceProd", "Reshape",
    "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where",
})  # fmt: skip


class OnnxRuntimeRunner:
    """An inference session whose inputs and outputs are bound once, so a run is the computation and little else.

    With one thread the work happens in the calling thread, where thread-CPU time sees all of it. Inputs and outputs
    lie on the device of the provider: a run moves none of them, and on a GPU it waits for the end.

    Streams share the session, so its weights are in memory once; each has its own inputs and outputs. A session for
    each was tried on chains of products, on a busy machine of two cores: no faster, and slower on the largest.

    A model with outputs that are no tensors (sequences, maps) runs from arrays to Python's values, on the CPU alone.
    """

    _bound = True  # whether all outputs are tensors, which a binding holds

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds) -> None:
        runtime = _onnxruntime(target)
        self.runtime = f"onnxruntime {runtime.__version__}"
        self.provider = _provider(runtime, target)
        started = time.perf_counter()
        try:
            self._session: Any = runtime.InferenceSession(
                path, session_options(runtime, target), providers=[self.provider]
            )
        except Exception as err:  # the runtime's errors share no base class with a name
            raise refusal("ONNX Runtime", path, err) from err
        self.load_s = time.perf_counter() - started
        used = self._session.get_providers()[0]
        if used != self.provider:
            raise MissingRuntime(
                f"ONNX Runtime fell back to {used}: {self.provider} could not start on this machine",
                hint="its libraries are missing or of another version: condensa doctor says what is there",
            )
        if target.device != "cpu" and hasattr(self._session, "get_provider_graph_assignment_info"):
            placed = self._session.get_provider_graph_assignment_info()
            left = stranded((part.ep_name, node.op_type) for part in placed for node in part.get_nodes())
            if left:
                raise UsageError(
                    f"{self.provider} leaves {', '.join(left)} of {path.name} to the CPU",
                    hint="its figures would be those of two devices: change the model, or measure it on the cpu",
                )
        described = self._session.get_outputs()
        self._outputs = [value.name for value in described]
        twice = sorted({name for name in self._outputs if self._outputs.count(name) > 1})
        if twice:
            raise UsageError(f"{path} gives the output {twice[0]!r} twice", hint="export it again")
        kinds = [value.type for value in described]
        self._plain = plainly_read(kinds)
        self._bound = are_tensors(kinds)
        if not self._bound and target.device != "cpu":
            raise UsageError(f"{path.name} has outputs that are no tensors, which are measured on the cpu alone")
        self._bindings = [self._session.io_binding() for _ in range(target.streams)]
        self._binding = self._bindings[0]
        self._place: Any = partial(runtime.OrtValue.ortvalue_from_numpy, device_type=target.device, device_id=0)
        self._values: list[Any] = [None] * target.streams
        self.feed(feeds)
        if self._bound:
            for binding in self._bindings:
                for name in self._outputs:
                    binding.bind_output(name, target.device)
            work = [partial(self._session.run_with_iobinding, binding) for binding in self._bindings]
        else:
            work = [partial(self._run_unbound, stream) for stream in range(target.streams)]
        self._streams = Streams(work)

    def run(self) -> None:
        if self._bound:
            self._session.run_with_iobinding(self._binding)
        else:
            self._run_unbound(0)

    def _run_unbound(self, stream: int) -> None:
        self._values[stream] = self._session.run(self._outputs, self._fed)

    def run_streams(self, runs: int) -> None:
        self._streams.run(runs)

    def feed(self, feeds: Feeds) -> None:
        self._fed = dict(feeds)
        for binding in self._bindings if self._bound else ():
            for name, array in feeds.items():
                binding.bind_ortvalue_input(name, self._place(array))

    def outputs(self, stream: int = 0) -> Feeds:
        if not self._bound:
            return flattened(dict(zip(self._outputs, self._values[stream], strict=True)))
        binding = self._bindings[stream]
        found = binding.copy_outputs_to_cpu() if self._plain else map(read_value, binding.get_outputs())
        return dict(zip(self._outputs, found, strict=True))

    def __enter__(self) -> OnnxRuntimeRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._streams.close()
        # the session's memory goes with its last reference
        del self._streams, self._binding, self._bindings, self._session


def stranded(placed: Iterable[tuple[str, str]]) -> list[str]:
    """The kinds of operators, of (provider, operator) pairs, that the CPU computes in a GPU's stead, sorted."""
    return sorted({operator for provider, operator in placed if provider == _CPU and operator not in _SHAPE_WORK})


def _provider(runtime: ModuleType, target: BenchTarget) -> str:
    provider = PROVIDERS.get((target.backend, target.device))
    if provider is None:
        raise UsageError(f"runtime {target.backend} does not compute on the {target.device}", hint="add --device cuda")
    if provider not in runtime.get_available_providers():
        raise MissingRuntime(
            f"this ONNX Runtime has no {provider}",
            hint="pip uninstall onnxruntime, then install the extra: pip install '.[gpu]' from a checkout "
            "(both bring the same module)",
        )
    return provider


def require(target: BenchTarget) -> None:
    """MissingRuntime unless the provider is there, and a GPU for one that computes on it."""
    _provider(_onnxruntime(target), target)
    if target.device == "cuda" and not nvidia_gpus():
        raise MissingRuntime(
            f"{target.backend} on the cuda device needs an NVIDIA GPU, and here is no NVIDIA driver",
            hint="run it on a machine with a GPU, or measure on the cpu",
        )


def _onnxruntime(target: BenchTarget) -> ModuleType:
    try:
        import onnxruntime
    except ImportError as err:
        extra = "gpu" if target.device == "cuda" else "cpu"
        hint = f"install the extra: pip install '.[{extra}]' from a checkout"
        raise MissingRuntime("ONNX Runtime is not installed", hint=hint) from err
    return onnxruntime


def session_options(runtime: ModuleType, target: BenchTarget) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1 + target.streams * (target.threads - 1)  # beside the calling thread of each stream
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # silent: errors are raised, and what it prints of a file could steer a terminal
    # Threads wait for their next share of a run as in any session, but not for the next run: idle sessions that spin
    # would charge their time to the one that is measured (2.6x on a VGG). Without any spinning runs take longer (1.1x
    # to 1.8x for 12 small convolutions in two threads) than users will see.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if target.device != "cpu":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # since 1.24, else ignored
    return options
