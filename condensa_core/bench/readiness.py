"""What each runtime would need on this machine, found without loading torch or any model."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from condensa_core.bench.onnxruntime_runner import PROVIDERS
from condensa_core.bench.runner import RUNTIMES
from condensa_core.engines import FAMILIES, family_named
from condensa_core.errors import CondensaError, first_line
from condensa_core.platforms import DEVICES_OF, nvidia_gpus

_GPU_BUILD: Final = "pip uninstall -y onnxruntime && pip install '.[gpu]' from a checkout"


@dataclass(frozen=True)
class Need:
    """Something that is not there, and what to type or know about it; empty where there is nothing to type."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Readiness:
    """A runtime on a device, and what is missing for it: nothing where it is ready."""

    runtime: str
    device: str
    needs: tuple[Need, ...]


def readiness() -> tuple[Readiness, ...]:
    """Every runtime on every device that it computes on, in the order of RUNTIMES.

    Ready means that all is there that can be known without computing: no driver is tried, no kernel compiled.
    """
    return tuple(
        Readiness(name, device, tuple(_needs(name, device))) for name in RUNTIMES for device in DEVICES_OF[name]
    )


def _needs(name: str, device: str) -> Iterator[Need]:
    runtime = RUNTIMES[name]
    installed = find_spec(runtime.package) is not None
    if not installed:
        wanted = (
            "'.[gpu]' from a checkout" if runtime.package == "onnxruntime" and device == "cuda" else runtime.install
        )
        yield Need(runtime.package, f"pip install {wanted}")
    elif (name, device) in PROVIDERS:
        yield from _provider_needs(PROVIDERS[name, device])
    if device == "cuda":
        yield from _gpu_needs(name, installed=installed)
    elif name == "torch-inductor":
        yield from _compiler_needs()


def _provider_needs(provider: str) -> Iterator[Need]:
    try:
        # by name: the providers of a build are known to itself alone
        providers = import_module("onnxruntime").get_available_providers()
    except Exception as err:  # a broken installation raises anything
        remedy = "pip install --force-reinstall, of the extra cpu or gpu"
        yield Need(f"an onnxruntime that can be imported: {first_line(err)}", remedy)
        return
    if provider not in providers:
        yield Need(f"an onnxruntime with its {provider}", _GPU_BUILD)


def _gpu_needs(name: str, *, installed: bool) -> Iterator[Need]:
    gpus = nvidia_gpus()
    if not gpus:
        alone = "condensa engine builds without one"
        yield Need("an NVIDIA GPU and its driver", alone if name == "tensorrt-rtx" else "")
    if RUNTIMES[name].package == "onnxruntime":
        return
    if find_spec("torch") is not None and torch_cuda() is None:  # the engines of TensorRT run on its tensors too
        yield Need("a torch built for CUDA", "pytorch.org tells its pip install")
    elif name == "torch-inductor" and find_spec("triton") is None:
        yield Need("triton", "pip install triton")
    if name in FAMILIES and installed and gpus:
        try:
            family_named(name).targets((), gpus)
        except CondensaError as err:  # the GPU is one that it does not support
            yield Need(f"another GPU: {err.message}", err.hint or "")


def _compiler_needs() -> Iterator[Need]:
    if compiler() is None:
        wanted = os.environ.get("CXX") or _usual_compiler()
        yield Need(f"the C++ compiler {wanted}", "apt-get install g++, or name another in CXX")


def compiler() -> str | None:
    """The path of the C++ compiler that inductor takes on the CPU, None where it is not there."""
    return shutil.which(os.environ.get("CXX") or _usual_compiler())


def _usual_compiler() -> str:
    return "clang++" if sys.platform == "darwin" else "g++"


@cache
def torch_cuda() -> str | None:
    """The version of CUDA that the installed torch is built for, None where it is for none; torch is not loaded."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        tree = ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "cuda" and isinstance(node, ast.AnnAssign) and node.value:
            found = ast.literal_eval(node.value)
            return None if found is None else str(found)
    return None
