"""What the numbers were measured on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from condensa_core.bench.silicon import caches, cores_allowed, processor_kinds
from condensa_core.platforms import INSTRUCTION_SETS, driver_version, nvidia_gpus, processor

_PACKAGES = (
    "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-cu12", "tensorrt-cu13",
    "tensorrt-rtx-cu12", "tensorrt-rtx-cu13", "numpy",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The hardware and software that decide how fast a file runs; load averages are those of the moment."""

    cpu: str
    cpu_flags: tuple[str, ...]
    cpu_kinds: tuple[str, ...]  # by the maker's numbers
    caches: tuple[str, ...]
    gpus: tuple[str, ...]
    gpu_driver: str | None
    cores_physical: int
    cores_logical: int
    cores_usable: int  # by this process
    cores_allowed: float | None  # whose time the container may take
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
    cpu = processor()
    logical = os.cpu_count() or 1
    return Machine(
        cpu=cpu.name,
        cpu_flags=tuple(flag for flag in INSTRUCTION_SETS if flag in (cpu.flags or ())),
        cpu_kinds=processor_kinds(),
        caches=caches(),
        gpus=tuple(gpu.name for gpu in nvidia_gpus()),
        gpu_driver=driver_version(),
        cores_physical=psutil.cpu_count(logical=False) or logical,
        cores_logical=logical,
        cores_usable=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical,
        cores_allowed=cores_allowed(),
        memory_bytes=psutil.virtual_memory().total,
        os=platform.platform(),
        python=platform.python_version(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
        load_average=psutil.getloadavg(),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
