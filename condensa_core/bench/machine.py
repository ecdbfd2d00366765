"""What the numbers were measured on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "numpy")
# Instruction sets that change which kernels run: vector width, int8 dot products, matrix tiles; then those of Arm.
_FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "asimdhp", "sve", "sve2", "i8mm", "bf16",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The hardware and software that decide how fast a file runs; load averages are those of the moment."""

    cpu: str
    cpu_flags: tuple[str, ...]
    gpus: tuple[str, ...]
    cores_physical: int
    cores_logical: int
    cores_usable: int  # by this process
    memory_bytes: int
    os: str
    python: str
    versions: Mapping[str, str]
    load_average: tuple[float, float, float]

    @property
    def fingerprint(self) -> str:
        """12 hex digits over everything but the load: numbers with different fingerprints cannot be ranked."""
        facts = {k: v for k, v in asdict(self).items() if k != "load_average"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain data, fingerprint included."""
        return {"fingerprint": self.fingerprint, **asdict(self)}


def describe_machine() -> Machine:
    """This machine, now; imports no runtime."""
    cpu, flags = _processor()
    logical = os.cpu_count() or 1
    return Machine(
        cpu=cpu,
        cpu_flags=tuple(flag for flag in _FLAGS if flag in flags),
        gpus=_nvidia_gpus(),
        cores_physical=psutil.cpu_count(logical=False) or logical,
        cores_logical=logical,
        cores_usable=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical,
        memory_bytes=psutil.virtual_memory().total,
        os=platform.platform(),
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        load_average=psutil.getloadavg(),
    )


def _processor() -> tuple[str, frozenset[str]]:
    """The model name and the instruction-set flags, where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    facts = {key.strip().lower(): value.strip() for key, _, value in lines}
    flags = facts.get("flags") or facts.get("features") or ""
    return facts.get("model name") or platform.processor() or platform.machine(), frozenset(flags.split())


def _nvidia_gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs whose Linux driver is loaded."""
    names = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        names += [line.partition(":")[2].strip() for line in file.read_text().splitlines() if line.startswith("Model:")]
    return tuple(names)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
