"""OpenVINO on the CPU, never more coarsely than the file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.loading import refusal
from condensa_core.bench.small_floats import from_bfloat16, from_float8e4m3fn, from_float8e5m2
from condensa_core.bench.streams import Streams
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import MachineError, MissingRuntime, UsageError

_FLOATS: Final = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}
_HELD: Final = ("Parameter", "Constant", "Convert", "Result")  # nothing is computed in their type

_SMALL: Final = {
    "bf16": (from_bfloat16, np.uint16),
    "f8e4m3": (from_float8e4m3fn, np.uint8),
    "f8e5m2": (from_float8e5m2, np.uint8),
}


class OpenVinoRunner:
    """A request for each stream whose inputs are set once, the model's shapes made those of the inputs.

    Files that OpenVINO then computes wrongly keep the shapes that they leave open: slower, and right.

    With one thread the work happens in the calling thread (measured with 2026.4), where thread-CPU time sees all of it.
    """

    _shared = True  # whether outputs are handed over as views, which text cannot be

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds) -> None:
        if target.device != "cpu":
            raise UsageError(
                f"runtime openvino computes on the cpu, not on {target.device}",
                hint="leave out --device, or choose a runtime for it: condensa doctor lists them",
            )
        openvino = _openvino()
        self.runtime = f"openvino {openvino.__version__.partition('-')[0]}"
        started = time.perf_counter()
        try:
            core = openvino.Core()
            model = core.read_model(path)
            if not _wrong_when_fixed(model):
                model.reshape({name: list(array.shape) for name, array in feeds.items()})
            settings = _amounts(target) | {
                "INFERENCE_PRECISION_HINT": _precision(model, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            }
            compiled: Any = core.compile_model(model, "CPU", settings)
        except Exception as err:  # pybind turns all of its errors into RuntimeError
            raise refusal("OpenVINO", path, err) from err
        self.load_s = time.perf_counter() - started
        _require_granted(compiled, target)
        unfed = [_name(port, i) for i, port in enumerate(compiled.inputs) if not port.get_names() & feeds.keys()]
        if unfed:  # it would compute on whatever lies in their memory
            raise UsageError(
                f"{path} has inputs that nothing was given for: {', '.join(unfed)}",
                hint="measure it with --runtime onnxruntime, or export it again",
            )
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.provider = f"{' '.join(compiled.get_property('EXECUTION_DEVICES'))}, floats in {_FLOATS[precision]}"
        self._requests: Any = [compiled.create_infer_request() for _ in range(target.streams)]
        self._request: Any = self._requests[0]
        self._shared = not any(port.element_type.get_type_name() == "string" for port in compiled.outputs)
        work = [partial(one.infer, share_inputs=True, share_outputs=self._shared) for one in self._requests]
        self._streams = Streams(work)
        self._tensor: Any = openvino.Tensor
        self.feed(feeds)
        self._names = [_name(port, i) for i, port in enumerate(compiled.outputs)]

    def run(self) -> None:
        self._request.infer(share_inputs=True, share_outputs=self._shared)

    def run_streams(self, runs: int) -> None:
        self._streams.run(runs)

    def feed(self, feeds: Feeds) -> None:
        self._held = dict(feeds)  # the tensors are views of these
        for request in self._requests:
            for name, array in feeds.items():
                request.set_tensor(name, self._tensor(array, shared_memory=True))

    def outputs(self, stream: int = 0) -> Feeds:
        request = self._requests[stream]
        return {name: _array(request.get_output_tensor(i)) for i, name in enumerate(self._names)}

    def __enter__(self) -> OpenVinoRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._streams.close()
        del self._streams, self._request, self._requests, self._held


def require(target: BenchTarget) -> None:
    """MachineError unless OpenVINO gives a model of one operator as many streams and threads as the target asks."""
    if target.streams == target.threads == 1:
        return
    openvino = _openvino()
    x = openvino.opset13.parameter([1], np.float32)
    model = openvino.Model([openvino.opset13.relu(x)], [x])
    _require_granted(openvino.Core().compile_model(model, "CPU", _amounts(target)), target)


def _amounts(target: BenchTarget) -> dict[str, str]:
    amounts = {"NUM_STREAMS": target.streams, "INFERENCE_NUM_THREADS": target.streams * target.threads}
    return {name: str(amount) for name, amount in amounts.items()} | {"PERFORMANCE_HINT": "LATENCY"}


def _require_granted(compiled: Any, target: BenchTarget) -> None:
    """MachineError where it computes with less than was asked: it takes what the cores give, and says nothing."""
    for name, noun in (("NUM_STREAMS", "streams"), ("INFERENCE_NUM_THREADS", "threads")):
        asked, able = int(_amounts(target)[name]), int(compiled.get_property(name))
        if able < asked:
            hint = None if noun == "streams" else "ask for fewer, all streams together"
            raise MachineError(f"OpenVINO runs no more than {able} {noun} on this machine, asked {asked}", hint=hint)


def _array(tensor: Any) -> np.ndarray:
    """A copy of an output as its values; `data` has the bits of small floats, and the bytes of text."""
    kind = tensor.element_type.get_type_name()
    if kind == "string":
        return np.array(tensor.str_data)
    if kind in _SMALL:
        read, width = _SMALL[kind]
        return read(tensor.data.view(width))
    return np.array(tensor.data)


def _wrong_when_fixed(model: Any) -> bool:
    """Whether the model rounds to integers and has a product without a bias, as the first half of a low-rank layer is.

    With fixed shapes 2026.4 computes values of 1e10 for Linear(64, 7, bias=False), Linear(7, 32) in int8, and the same
    with a ReLU between; with a bias, in float32 or with the batch left open it does not.
    """
    nodes = model.get_ordered_ops()
    if not any(node.get_type_name() == "FakeQuantize" for node in nodes):
        return False
    return any(node.get_type_name() == "MatMul" and not _biased(node) for node in nodes)


def _biased(node: Any) -> bool:
    """Whether something is added to a node's result, scaled or not; ONNX's Gemm without a bias adds a zero here."""
    for reader in (port.get_node() for port in node.output(0).get_target_inputs()):
        kind = reader.get_type_name()
        if kind == "Multiply" and _biased(reader):
            return True
        if kind == "Add" and not any(_is_zero(port.get_source_output().get_node()) for port in reader.inputs()):
            return True
    return False


def _is_zero(node: Any) -> bool:
    kind = node.get_type_name()
    if kind == "Multiply":
        return any(_is_zero(port.get_source_output().get_node()) for port in node.inputs())
    return kind == "Constant" and not node.get_data().any()


def _precision(model: Any, capabilities: Sequence[str]) -> str:
    """The float type to compute in: the file's, if it has one and the processor computes in it, else float32.

    Left to itself, a processor with bfloat16 computes every file in it, and float16 files also when asked for float16
    where it has no such arithmetic (2026.4): with fewer digits than the file has.
    """
    found = {
        output.get_element_type().to_string()
        for node in model.get_ops()
        if node.get_type_name() not in _HELD
        for output in node.outputs()
    }
    floats = found & _FLOATS.keys()
    own = floats.pop() if len(floats) == 1 else "f32"
    return own if {"f16": "FP16", "bf16": "BF16"}.get(own) in capabilities else "f32"


def _name(port: Any, position: int) -> str:
    names = sorted(port.get_names())
    return names[0] if names else f"output {position}"


def _openvino() -> ModuleType:
    try:
        with _unreported():
            import openvino
    except ImportError as err:
        hint = "install the extra: pip install '.[openvino]' from a checkout"
        raise MissingRuntime("OpenVINO is not installed", hint=hint) from err
    return openvino


@contextmanager
def _unreported() -> Iterator[None]:
    """Importing OpenVINO within tells nobody: it finds its package for telemetry missing, which it is prepared for.

    Otherwise it reports the import to Google Analytics and leaves an id in ~/intel (2026.4).
    """
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
