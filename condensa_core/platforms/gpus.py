"""The NVIDIA GPUs of this machine, asked of the driver itself: no runtime needs to be installed."""

from __future__ import annotations

import ctypes
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_DRIVER: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h
_VERSION: Final = Path("/proc/driver/nvidia/version")
_NUMBER: Final = re.compile(r"\b\d+\.\d+(?:\.\d+)?\b")


@dataclass(frozen=True)
class Gpu:
    """A GPU by the driver's name; `capability` 89 is compute capability 8.9."""

    name: str
    capability: int


@cache
def nvidia_gpus() -> tuple[Gpu, ...]:
    """The GPUs in the driver's order; none where no NVIDIA driver is, or where it finds none."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(gpu for number in range(count.value) if (gpu := _gpu(driver, number)))


def driver_version() -> str | None:
    """The version of the loaded NVIDIA driver, such as 550.54.15; None where the system does not tell it."""
    try:
        first = _VERSION.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return None
    found = _NUMBER.search(first)
    return found.group() if found else None


def _gpu(driver: ctypes.CDLL, number: int) -> Gpu | None:
    device, major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    failed = (
        driver.cuDeviceGet(ctypes.byref(device), number)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    )
    return None if failed else Gpu(name.value.decode(errors="replace"), 10 * major.value + minor.value)
