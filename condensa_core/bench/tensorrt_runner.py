"""TensorRT itself, of either family: an engine built for the GPU at hand, run on tensors that stay there."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.target import BenchTarget
from condensa_core.cache_directory import default_cache_dir
from condensa_core.engines import Batches, Family, build_engine, family_named, nvidia_gpus
from condensa_core.engines.build_log import listening
from condensa_core.errors import MissingRuntime, RunFailed, UsageError
from condensa_core.progress import Listener

_WARM_UP: Final = 3  # inferences before a capture: kernels are chosen and compiled in them, which no capture allows


class TensorRtRunner:
    """An engine of the file for exactly this batch, from the cache or built.

    A run is one launch of a captured CUDA graph where the engine allows it, else of the engine's kernels on a stream;
    `provider` says which. Inputs and outputs lie on the GPU: no run moves them. `load_s` counts opening the engine and
    capturing, not building it.
    """

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds, listener: Listener) -> None:
        engine_alone = (
            f"condensa engine {path} --for sm89 builds an engine without one, and tells its size and memory; "
            "condensa bench --engine sm89 tells them beside the times of other runtimes"
        )
        family = _family(target, engine_alone)
        batches = Batches(target.batch, target.batch, target.batch)
        built = build_engine(
            path, cache_dir=default_cache_dir() / "engines", family=family.name, batches=batches, listener=listener
        )
        self.runtime = built.runtime
        started = time.perf_counter()
        self._engine = _opened(family, built.path)
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()
        self._tensors = {name: torch.from_numpy(array).cuda() for name, array in feeds.items()}
        for name, tensor in self._tensors.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
        self._outputs = self._made_outputs(family)
        for name, tensor in (self._tensors | self._outputs).items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        torch.cuda.synchronize()  # the inputs were copied on another stream
        self._graph: Any = None
        for _ in range(_WARM_UP):
            self._launch()
        self._stream.synchronize()
        self._graph = self._captured()
        self.provider = "stream" if self._graph is None else "CUDA graph"
        self.load_s = time.perf_counter() - started

    def run(self) -> None:
        self._launch()
        self._stream.synchronize()

    def device_ns(self, runs: int) -> int:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record(self._stream)
        for _ in range(runs):
            self._launch()
        end.record(self._stream)
        end.synchronize()
        return int(start.elapsed_time(end) * 1e6)

    def feed(self, feeds: Feeds) -> None:
        for name, array in feeds.items():
            self._tensors[name].copy_(torch.from_numpy(array))  # in their place, which a captured graph reads
        torch.cuda.synchronize()

    def outputs(self) -> Feeds:
        return {name: tensor.cpu().numpy() for name, tensor in self._outputs.items()}

    def _launch(self) -> None:
        if self._graph is not None:
            with torch.cuda.stream(self._stream):
                self._graph.replay()
        elif not self._context.execute_async_v3(self._stream.cuda_stream):
            raise RunFailed(
                f"{self.runtime} could not start an inference", hint="see nvidia-smi and dmesg for what the GPU reports"
            )

    def _made_outputs(self, family: Family) -> dict[str, torch.Tensor]:
        made = {}
        for number in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(number)
            if self._engine.get_tensor_mode(name) == family.module.TensorIOMode.OUTPUT:
                shape = tuple(self._context.get_tensor_shape(name))
                kind = getattr(torch, family.module.nptype(self._engine.get_tensor_dtype(name)).__name__)
                made[name] = torch.empty(shape, dtype=kind, device="cuda")
        return made

    def _captured(self) -> torch.cuda.CUDAGraph | None:
        """The launch as a graph; None where the engine synchronises or allocates within it."""
        ask = getattr(self._context, "is_stream_capturable", None)  # not in TensorRT 10
        if ask is not None and not ask(self._stream.cuda_stream):
            return None
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._launch()
        except RuntimeError:
            return None
        return graph

    def __enter__(self) -> TensorRtRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.synchronize()
        del self._graph, self._context, self._engine, self._tensors, self._outputs  # in the order of their dependence


def require(target: BenchTarget) -> None:
    """MissingRuntime unless the family is installed and this machine has a GPU that it supports."""
    _family(target, "build an engine alone, without a GPU: output: {export: [onnx, engine]}")


def _family(target: BenchTarget, without_gpu: str) -> Family:
    family = family_named(target.backend)
    if not nvidia_gpus():
        raise MissingRuntime(f"{family.title} runs on NVIDIA GPUs, and here is no NVIDIA driver", hint=without_gpu)
    if target.device != "cuda":
        raise UsageError(f"{family.title} runs on NVIDIA GPUs only", hint="measure it with --device cuda")
    family.targets(())  # refuses a GPU that the family does not support
    if not torch.cuda.is_available():
        raise MissingRuntime(f"torch {torch.__version__} finds no CUDA device", hint="install a torch for CUDA")
    return family


def _opened(family: Family, path: Path) -> Any:
    with listening(family.module) as (logger, log):
        engine = family.module.Runtime(logger).deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            said = log.errors[0].splitlines()[0] if log.errors else "it does not say why"
            raise MissingRuntime(
                f"{family.title} cannot open its engine on this machine: {said}",
                hint="nvidia-smi and condensa doctor say which GPU and driver there are",
            )
        return engine
