"""`unpack`: a packed file as a plain one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from condensa_core.errors import UsageError
from condensa_core.export import unpack_onnx

_PACKED: Final = ".packed"


def unpack(path: Path, *, out: Path | None = None, force: bool = False) -> dict[str, Any]:
    """Write the dense file and tell its size as JSON values (schema condensa.unpack/1).

    The name is that of the packed file without `.packed` (else with `.dense`), beside it, unless `out` gives one. An
    existing file is kept unless `force`: UsageError, as for a file in which nothing is packed.
    """
    target = out or _dense_name(path)
    if target.exists() and target.resolve() == path.resolve():
        raise UsageError(f"{target} would overwrite its own source", hint="choose another file with --out")
    if target.exists() and not force:
        raise UsageError(f"{target} exists and is kept", hint="choose another file with --out, or --force")
    written = unpack_onnx(path, target)
    packed = path.stat().st_size
    return {
        "schema": "condensa.unpack/1",
        "status": "ok",
        "exit_code": 0,
        "reasons": [],
        "path": str(target),
        "size_bytes": written.size_bytes,
        "packed_bytes": packed,
        "ratio": written.size_bytes / packed,
        "sha256": written.sha256,
    }


def _dense_name(path: Path) -> Path:
    stem = path.stem.removesuffix(_PACKED) if path.stem.endswith(_PACKED) else f"{path.stem}.dense"
    return path.with_name(f"{stem}{path.suffix}")
