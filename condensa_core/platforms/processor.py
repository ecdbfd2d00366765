"""The processor by its name and its instruction sets, as the system tells them."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Instruction sets that change which kernels run: vectors, 8-bit dot products, half precision, matrix tiles; those of
# x86, then those of Arm.
INSTRUCTION_SETS: Final = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "asimd", "asimddp", "asimdhp", "sve", "sve2", "i8mm", "bf16",
)  # fmt: skip
_TOLD: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """A processor; `flags` are those of INSTRUCTION_SETS that every core has, None where the system tells none."""

    name: str
    flags: frozenset[str] | None


def processor() -> Processor:
    """The processor of this machine; only Linux tells its flags."""
    try:
        text = _TOLD.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return processor_told(text, platform.processor() or platform.machine())


def processor_told(cpuinfo: str, otherwise: str) -> Processor:
    """What the text of /proc/cpuinfo says; `otherwise` is the name where it has none."""
    name, cores = otherwise, list[set[str]]()
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            cores.append(set(value.split()))
    if not cores:
        return Processor(name, None)
    return Processor(name, frozenset(INSTRUCTION_SETS).intersection(*cores))
