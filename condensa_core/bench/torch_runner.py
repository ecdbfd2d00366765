"""PyTorch: a program of torch.export as it is (eager), or compiled by inductor."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.target import BenchTarget
from condensa_core.code_free import load_program
from condensa_core.errors import MissingRuntime, UsageError, first_line


class TorchRunner:
    """The program's graph, operator by operator, on tensors that stay on the device.

    The threads of torch belong to the process: while a runner is open they are the target's, then what they were.
    """

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds) -> None:
        import torch

        self._torch = torch
        self.runtime = f"torch {torch.__version__}"
        self.provider = "eager"
        self._device = _device(target)
        if self._device == "cuda":
            self.device_ns = self._event_ns
        self._threads = torch.get_num_threads()
        torch.set_num_threads(target.threads)
        started = time.perf_counter()
        try:
            self._call = self._prepared(_module(path, self._device))
            self.feed(feeds)
            self._outputs: Any = None
            self._warmed()
        except BaseException:
            torch.set_num_threads(self._threads)
            raise
        self.load_s = time.perf_counter() - started

    def _prepared(self, module: Any) -> Any:
        """What is called for an inference."""
        return module

    def _warmed(self) -> None:
        """Whatever the first inference would have to do besides computing."""

    def run(self) -> None:
        with self._torch.inference_mode():
            self._outputs = self._call(*self._inputs)
        if self._device == "cuda":
            self._torch.cuda.synchronize()

    def _event_ns(self, runs: int) -> int:
        cuda = self._torch.cuda
        start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        with self._torch.inference_mode():
            start.record()
            for _ in range(runs):
                self._outputs = self._call(*self._inputs)
            end.record()
        end.synchronize()
        return int(start.elapsed_time(end) * 1e6)

    def feed(self, feeds: Feeds) -> None:
        self._inputs = tuple(self._torch.from_numpy(array).to(self._device) for array in feeds.values())
        if self._device == "cuda":
            self._torch.cuda.synchronize()  # small arrays are still on their way

    def outputs(self) -> Feeds:
        leaves = self._torch.utils._pytree.tree_leaves(self._outputs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, self._torch.Tensor)]
        return {f"output {i}": self._array(tensor) for i, tensor in enumerate(tensors)}

    def _array(self, tensor: Any) -> Any:
        """The tensor on the host; floats of which numpy knows nothing (bfloat16, 8 bits) as float32."""
        small = tensor.is_floating_point() and tensor.dtype.itemsize < 4 and tensor.dtype != self._torch.float16
        return (tensor.float() if small else tensor).cpu().numpy()

    def __enter__(self) -> TorchRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._torch.set_num_threads(self._threads)
        del self._call, self._inputs, self._outputs


class InductorRunner(TorchRunner):
    """The program compiled for the shapes of its inputs; compiling is part of loading."""

    def _prepared(self, module: Any) -> Any:
        self.provider = "inductor"
        if self._device == "cpu":
            _require_compiler()
        return self._torch.compile(module, fullgraph=True, dynamic=False)

    def _warmed(self) -> None:
        from torch._inductor import config

        try:
            # no pool of processes that outlives the measurement, and none of torch's warnings about itself
            with config.patch(compile_threads=1), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.run()
        except Exception as err:  # dynamo, inductor, the compiler and the program have classes of their own
            reason = first_line(getattr(err, "inner_exception", err))  # dynamo wraps what inductor says
            raise UsageError(
                f"inductor cannot compile the program: {reason}",
                hint="measure it with --runtime torch, which compiles nothing",
            ) from err


def require(target: BenchTarget) -> None:
    """MissingRuntime unless torch can compute on the device."""
    _device(target)


def require_inductor(target: BenchTarget) -> None:
    """MissingRuntime unless torch can compute on the device, and compile for it."""
    if _device(target) == "cpu":
        _require_compiler()


def _require_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as err:
        raise MissingRuntime(
            "inductor needs a C++ compiler, and there is none on this machine",
            hint="install one (apt-get install g++), or name it in the variable CXX",
        ) from err


def _device(target: BenchTarget) -> str:
    import torch

    if target.device == "cuda" and not torch.cuda.is_available():
        raise MissingRuntime(
            f"torch {torch.__version__} finds no CUDA device",
            hint="it needs an NVIDIA GPU with its driver, and a torch built for CUDA",
        )
    return target.device


def _module(path: Path, device: str) -> Any:
    from torch.export.passes import move_to_device_pass

    program = load_program(path)
    try:
        if device != "cpu":
            program = move_to_device_pass(program, device)
        return program.module()
    except Exception as err:  # torch's errors, by what is wrong with the program
        raise UsageError(
            f"torch cannot load {path}: {first_line(err)}",
            hint="save it with torch.export.save, by the version of torch that is installed here",
        ) from err
