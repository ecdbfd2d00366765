"""Energy of an inference, where the processor's or the GPU's own counter can be read."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RAPL: Final = Path("/sys/class/powercap")
LEAST_S: Final = 1.0  # the counter of a GPU moves every 20 to 100 ms


@dataclass(frozen=True)
class Meter:
    """A counter of joules that only rises: of whole packages or GPUs, whoever uses them."""

    name: str
    joules: Callable[[], float]


def meter_for(device: str, *, rapl: Path = RAPL) -> Meter | None:
    """What can be read here by this user: NVML for cuda, RAPL for the CPU; None where there is nothing."""
    return _nvml() if device == "cuda" else _rapl(rapl)


def joules_per_inference(run: Callable[[], object], meter: Meter, *, least_s: float = LEAST_S) -> float:
    """Of inferences in a row for at least `least_s`; what the machine takes when idle is in it."""
    run()
    runs, started, before = 0, time.perf_counter(), meter.joules()
    while time.perf_counter() - started < least_s:
        run()
        runs += 1
    return (meter.joules() - before) / runs


class _RaplPackages:
    """The sum over the processor packages; each counter starts again from 0 when it is full."""

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._ranges = [float((zone / "max_energy_range_uj").read_text()) for zone in zones]
        self._last = self._read()
        self._wrapped = [0.0] * len(zones)

    def joules(self) -> float:
        now = self._read()
        for i, (value, last) in enumerate(zip(now, self._last, strict=True)):
            if value < last:
                self._wrapped[i] += self._ranges[i]
        self._last = now
        return (sum(now) + sum(self._wrapped)) / 1e6

    def _read(self) -> list[float]:
        return [float((zone / "energy_uj").read_text()) for zone in self._zones]


def _rapl(folder: Path) -> Meter | None:
    """Packages are `intel-rapl:0`, ..., also on AMD; `intel-rapl:0:0` is a part of one."""
    try:
        zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _is_package(zone)]
        return Meter("RAPL", _RaplPackages(zones).joules) if zones else None
    except (OSError, ValueError):  # since Linux 5.10 only root may read it
        return None


def _is_package(zone: Path) -> bool:
    """By its name: laptops have a zone `psys` of the whole platform as well, with the packages in it."""
    return zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package")


def _nvml() -> Meter | None:
    """The total of the first GPU since its driver was loaded (Volta and later)."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    handle, total = ctypes.c_void_p(), ctypes.c_ulonglong()
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)):
        return None
    if library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(total)):
        return None

    def joules() -> float:
        library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(total))
        return total.value / 1e3

    return Meter("NVML", joules)
