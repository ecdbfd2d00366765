"""Which processor it is beyond its name, and how much of it this process may have; Linux tells, others say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# Servers of several generations are all called "AMD EPYC" by their hypervisors, and Arm has no names at all.
_NUMBERS: Final = (
    "cpu family", "model", "stepping", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision",
)  # fmt: skip
_CPUINFO: Final = Path("/proc/cpuinfo")
_CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
_CGROUP: Final = Path("/sys/fs/cgroup")


def processor_kinds(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """The maker's numbers of each kind of core, such as `cpu family 25, model 17, stepping 1`."""
    kinds = dict[str, None]()
    for core in _read(cpuinfo).split("\n\n"):
        parts = (line.partition(":") for line in core.splitlines())
        facts = {name.strip(): value.strip() for name, _, value in parts}
        kinds[", ".join(f"{name} {facts[name]}" for name in _NUMBERS if name in facts)] = None
    return tuple(sorted(filter(None, kinds)))


def caches(folder: Path = _CACHES) -> tuple[str, ...]:
    """The caches of the first core, such as `L1 Data 32K` and `L3 Unified 32768K`."""
    found = []
    for index in sorted(folder.glob("index*")):
        level, kind, size = (_read(index / fact).strip() for fact in ("level", "type", "size"))
        found.append(f"L{level} {kind} {size}")
    return tuple(found)


def cores_allowed(cgroup: Path = _CGROUP) -> float | None:
    """How many cores' time the container of this process may take: 0.5 of `--cpus=0.5`; None for no such limit."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_read(cgroup / "cpu" / f"cpu.cfs_{fact}_us") for fact in ("quota", "period"))
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max", or no container
        return None
    return share if share > 0 else None  # -1 is no limit in the first version of cgroups


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
