"""`condensa doctor`: what is installed, what this machine can do, and what to install for the rest."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from condensa_core import __version__
from condensa_core.report import Table
from condensa_core.report.quantities import bytes_text

from . import exit_codes
from .console import drawn, show, show_json
from .options import Json

# the extras that this version makes use of, the distribution each one brings and what it is for
EXTRAS: Mapping[str, tuple[str, str]] = {
    "cpu": ("onnxruntime", "ONNX Runtime on the CPU, the default target"),
    "gpu": ("onnxruntime-gpu", "ONNX Runtime on CUDA; never together with cpu"),
    "openvino": ("openvino", "a runtime for the CPU: condensa bench --runtime openvino, backend: openvino"),
    "tensorrt": ("tensorrt-rtx-cu12", "engines of TensorRT for RTX, for NVIDIA GPUs"),
    "images": ("pillow", "image-folder data"),
}
PACKAGES = ("torch", "onnx", "onnxscript", "botorch", "gpytorch", "scikit-learn", "numpy", "pydantic")
# instruction sets that decide how fast a compressed model is: vectors, int8 dot products, half precision
X86_FEATURES = {"avx", "avx2", "fma", "f16c", "avx512f", "avx_vnni", "avx512_vnni", "avx512_fp16", "amx_int8"}
ARM_FEATURES = {"asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"}
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
LOW_DISK_BYTES = 1 << 30

Level = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `remedy` is what to type or do about it."""

    topic: str
    level: Level
    text: str
    remedy: str = ""


def doctor(as_json: Json = False) -> int:
    """Show what is installed and what this machine can do.

    Exits 3 if the default runtime is missing.
    """
    findings = examine()
    errors = [finding for finding in findings if finding.level == "error"]
    code = exit_codes.MACHINE if errors else exit_codes.OK
    if as_json:
        document: dict[str, Any] = {
            "schema": "condensa.doctor/1",
            "status": "error" if errors else "ok",
            "exit_code": code,
            "reasons": [finding.text for finding in errors],
            "condensa": __version__,
            "findings": [asdict(finding) for finding in findings],
        }
        show_json(document)
        return code
    rows = tuple(
        (
            finding.topic,
            finding.level.upper() if finding.level in ("error", "warning") else "",
            finding.text + (f"\n-> {finding.remedy}" if finding.remedy else ""),
        )
        for finding in findings
    )
    show(drawn(Table("", ("", "", f"condensa {__version__}"), rows)))
    return code


def examine() -> list[Finding]:
    """Every finding about this machine, without loading torch."""
    return [
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        *(_package(name) for name in PACKAGES),
        *_onnxruntime(),
        *_extras(),
        _inductor(),
        _gpu(),
        _cpu(),
        _disk(Path.cwd()),
        *_data_sets(),
    ]


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None where it is not installed."""
    from importlib import metadata  # slow to load, and only the doctor needs it

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    version = version_of(name)
    if version is None:
        return Finding(name, "error", "not installed", "pip install .")
    return Finding(name, "ok", version)


def _onnxruntime() -> list[Finding]:
    cpu, gpu = version_of("onnxruntime"), version_of("onnxruntime-gpu")
    if cpu and gpu:
        return [
            Finding(
                "onnxruntime",
                "error",
                f"onnxruntime {cpu} and onnxruntime-gpu {gpu} are both installed: they overwrite each other's files",
                "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install '.[cpu]' or '.[gpu]'",
            )
        ]
    if find_spec("onnxruntime") is None:
        remedy = "pip install '.[cpu]' (or '.[gpu]', never both) in a checkout"
        return [Finding("onnxruntime", "error", "not installed: nothing can be timed", remedy)]
    name, version = ("onnxruntime-gpu", gpu) if gpu else ("onnxruntime", cpu or "of an unknown build")
    try:
        # by name: the module is a runtime's own, and only the runtime knows its providers
        providers = import_module("onnxruntime").get_available_providers()
    except Exception as err:  # a broken installation raises anything, and the doctor must say so
        return [Finding(name, "error", f"{version} does not import: {err}", f"pip install --force-reinstall {name}")]
    return [Finding(name, "ok", f"{version}: {', '.join(providers)}")]


def _extras() -> list[Finding]:
    findings = []
    for extra, (distribution, purpose) in EXTRAS.items():
        version = version_of(distribution)
        if extra in ("cpu", "gpu"):
            continue  # the runtime has its own lines
        if version is None:
            findings.append(Finding(extra, "info", f"not installed ({purpose})", f"pip install '.[{extra}]'"))
        else:
            findings.append(Finding(extra, "ok", f"{distribution} {version}"))
    return findings


def _inductor() -> Finding:
    """What `condensa bench --runtime torch-inductor` needs besides torch."""
    named = os.environ.get("CXX")
    compiler = shutil.which(named) if named else shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return Finding("torch-inductor", "info", "needs a C++ compiler on the CPU", "apt-get install g++, or set CXX")
    return Finding("torch-inductor", "ok", f"compiles with {compiler}")


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("gpu", "info", "no NVIDIA driver found")
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as err:
        return Finding("gpu", "warning", f"nvidia-smi gives no answer: {err}")
    return Finding("gpu", "ok", "; ".join(answer.stdout.split("\n")).strip("; "))


def _cpu() -> Finding:
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags |= (X86_FEATURES | ARM_FEATURES) & set(value.split())
    except OSError:
        pass  # only Linux tells its flags in a file; the model name is enough elsewhere
    features = f": {' '.join(sorted(flags))}" if flags else ""
    return Finding("cpu", "ok", f"{os.cpu_count()} x {model}{features}")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        return Finding(
            "disk", "warning", f"{bytes_text(free)} free here", "free some, or set output.dir to another disk"
        )
    return Finding("disk", "ok", f"{bytes_text(free)} free here")


def _data_sets() -> list[Finding]:
    digits = Finding("digits", "ok", "embedded (scikit-learn)")
    if find_spec("sklearn") is None:
        digits = Finding("digits", "error", "scikit-learn is not installed", "pip install .")
    files = sorted(FASHION_MNIST_FOLDER.glob("*-ubyte*")) if FASHION_MNIST_FOLDER.is_dir() else []
    if len(files) >= 4:
        fashion = Finding("fashion-mnist", "ok", f"found in {FASHION_MNIST_FOLDER}")
    else:
        remedy = "apt-get install dataset-fashion-mnist, or name a folder in the recipe"
        fashion = Finding("fashion-mnist", "info", f"not in {FASHION_MNIST_FOLDER}", remedy)
    return [digits, fashion]
