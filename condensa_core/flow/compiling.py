"""`engine`: an ONNX file compiled by TensorRT, for GPUs that need not be here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from condensa_core.cache_directory import default_cache_dir
from condensa_core.engines import (
    Batches,
    Engine,
    Precision,
    build_engine,
    capability_named,
    capability_text,
    nvidia_gpus,
)
from condensa_core.errors import MachineError, UsageError
from condensa_core.progress import Listener, silent
from condensa_core.whole_file import remedy, replacing


def engine(
    path: Path,
    *,
    capabilities: Sequence[str] = (),
    precision: Precision | None = None,
    batches: tuple[int, int, int] | None = None,
    family: str = "tensorrt-rtx",
    out: Path | None = None,
    force: bool = False,
    cache_dir: Path | None = None,
    listener: Listener = silent,
) -> dict[str, Any]:
    """Write the engine and tell its facts as JSON values (schema condensa.engine/1).

    Built once: equal questions are answered from `cache_dir` (by default `engines` in the cache of trained references).
    The name is that of the ONNX file with `.engine`, beside it, unless `out` gives one; an existing file is kept unless
    `force`: UsageError. `unmeasured` says why there is no latency. Other errors as of `build_engine`.
    """
    target = out or path.with_suffix(".engine")
    if target.exists() and target.resolve() == path.resolve():
        raise UsageError(f"{target} would overwrite its own source", hint="choose another file with --out")
    if target.exists() and not force:
        raise UsageError(f"{target} exists and is kept", hint="choose another file with --out, or --force")
    built = build_engine(
        path,
        cache_dir=cache_dir or engine_cache_dir(),
        family=family,
        capabilities=[capability_named(text) for text in capabilities],
        precision=precision,
        batches=None if batches is None else Batches(*batches),
        listener=listener,
    )
    try:
        with replacing(target) as partial:
            partial.write_bytes(built.path.read_bytes())
    except OSError as err:
        raise MachineError(f"cannot write {target}: {err.strerror or err}", hint=remedy(err)) from err
    head = {"schema": "condensa.engine/1", "status": "ok", "exit_code": 0, "reasons": []}
    return head | built.to_json() | {"path": str(target), "unmeasured": unmeasured(built)}


def engine_cache_dir() -> Path:
    """Where engines are kept unless said otherwise: beside the trained references."""
    return default_cache_dir() / "engines"


def unmeasured(built: Engine) -> str:
    """That an engine was built and not run, and why."""
    return f"latency not measured: {_why(built)}"


def _why(built: Engine) -> str:
    gpus = nvidia_gpus()
    if not gpus:
        return "no NVIDIA driver"
    here = {gpu.capability for gpu in gpus}
    if not here & set(built.capabilities):
        return f"the GPU of this machine is {capability_text(gpus[0].capability)}"
    return "building runs nothing"
