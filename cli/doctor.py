"""`condensa doctor`: what is installed, what this machine can do, and what to install for the rest."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from condensa_core import __version__
from condensa_core.errors import UsageError
from condensa_core.platforms import FEATURES, driver_version, nvidia_gpus, processor
from condensa_core.report import Table
from condensa_core.report.quantities import bytes_text

from . import exit_codes
from .bundle import bundle
from .console import drawn, show, show_json
from .options import Json
from .paths import require_file_name

# the extras that this version makes use of, the distribution each one brings and what it is for
EXTRAS: Mapping[str, tuple[str, str]] = {
    "cpu": ("onnxruntime", "ONNX Runtime on the CPU, the default target"),
    "gpu": ("onnxruntime-gpu", "ONNX Runtime on CUDA; never together with cpu"),
    "openvino": ("openvino", "a runtime for the CPU: condensa bench --runtime openvino, backend: openvino"),
    "tensorrt": ("tensorrt-rtx-cu12", "engines of TensorRT for RTX, for NVIDIA GPUs"),
    "images": ("pillow", "image-folder data"),
}
PACKAGES = ("torch", "onnx", "onnxscript", "botorch", "gpytorch", "scikit-learn", "numpy", "pydantic")
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


def doctor(
    bundle_of: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="RUN_DIR", help="Put what a maintainer needs to see of this run into one archive."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.zip", help="Where the archive goes.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show what is installed and what this machine can do.

    Features have the names that recipes ask for; each runtime is ready, or says what it needs.
    Exits 3 if the default runtime is missing.
    """
    if output is not None and bundle_of is None:
        raise UsageError("--output belongs to --bundle", hint="name the run directory: --bundle RUN_DIR")
    require_file_name("--output", output)
    findings, runtimes = examine(), _runtimes()
    errors = [finding for finding in findings if finding.level == "error"]
    code = exit_codes.MACHINE if errors else exit_codes.OK
    document: dict[str, Any] = {
        "schema": "condensa.doctor/1",
        "status": "error" if errors else "ok",
        "exit_code": code,
        "reasons": [finding.text for finding in errors],
        "condensa": __version__,
        "findings": [asdict(finding) for finding in findings],
        **_hardware(),
        "runtimes": runtimes,
    }
    if bundle_of is not None:
        bundle(bundle_of, output, document, as_json=as_json)
        return exit_codes.OK
    if as_json:
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
    show("", drawn(Table("", ("", "ready, or what it needs"), tuple(map(_runtime_row, runtimes)))))
    return code


def examine() -> list[Finding]:
    """Every finding about this machine, without loading torch."""
    return [
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        *(_package(name) for name in PACKAGES),
        *_onnxruntime(),
        *_extras(),
        *_cpu(),
        *_gpu(),
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


def _runtimes() -> list[dict[str, Any]]:
    """Every runtime on every device, and what is missing for it."""
    from condensa_core.flow import runtimes_here  # knows the runtimes, and loads none of the slow ones

    return runtimes_here()


def _runtime_row(runtime: Mapping[str, Any]) -> tuple[str, str]:
    needs = [need["what"] + (f" ({need['remedy']})" if need["remedy"] else "") for need in runtime["needs"]]
    return f"{runtime['runtime']} on {runtime['device']}", "; ".join(needs) or "ready"


def _hardware() -> dict[str, Any]:
    """The processor, the GPUs and their driver, with their features, as JSON values."""
    cpu = processor()
    features = {name: feature.of_processor(cpu) for name, feature in FEATURES.items() if feature.flags}
    return {
        "cpu": {
            "name": cpu.name,
            "flags": None if cpu.flags is None else sorted(cpu.flags),
            "features": None if cpu.flags is None else features,
        },
        "driver": driver_version(),
        "gpus": [
            {
                "name": gpu.name,
                "compute_capability": f"sm{gpu.capability}",
                "features": {
                    name: feature.of_gpu(gpu.capability)
                    for name, feature in FEATURES.items()
                    if feature.since is not None
                },
            }
            for gpu in nvidia_gpus()
        ],
    }


def _cpu() -> list[Finding]:
    """The processor, then each feature that a processor can have: what it is good for, and what tells of it."""
    here = processor()
    name = f"{os.cpu_count()} x {here.name}"
    if here.flags is None:
        return [Finding("cpu", "ok", f"{name}; this system does not tell its features")]
    findings = [Finding("cpu", "ok", name)]
    for feature in FEATURES.values():
        if found := sorted(here.flags.intersection(feature.flags)):
            findings.append(Finding(f"cpu {feature.name}", "ok", f"{feature.gives} ({', '.join(found)})"))
        elif feature.flags:
            findings.append(Finding(f"cpu {feature.name}", "info", f"not there: {feature.gives}"))
    return findings


def _gpu() -> list[Finding]:
    version, found = driver_version(), nvidia_gpus()
    driver = f"driver {version}" if version else "driver of unknown version"
    if not found:
        if version:
            return [Finding("gpu", "warning", f"the NVIDIA {driver} is loaded and gives no GPU", "look at: nvidia-smi")]
        return [Finding("gpu", "info", "no NVIDIA driver found")]
    return [
        Finding(
            "gpu",
            "ok",
            f"{gpu.name}, sm{gpu.capability}, {driver}: "
            + ", ".join(feature.name for feature in FEATURES.values() if feature.of_gpu(gpu.capability)),
        )
        for gpu in found
    ]


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        return Finding(
            "disk", "warning", f"{bytes_text(free)} free here", "free some, or choose another disk with --out"
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
