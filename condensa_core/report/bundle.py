"""What a maintainer needs to see of a run that failed, in one archive that can be shared."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from condensa_core.errors import MachineError, UsageError
from condensa_core.plain_file import open_plain
from condensa_core.report.scrubbing import Scrubber
from condensa_core.whole_file import replacing

# Texts alone: weights, models, data and code have no place in it.
_FILES: Final = (
    "run.log",
    "manifest.json",
    "resolved.yaml",
    "plan.json",
    "rank-costs.json",
    "trials.jsonl",
    "result.json",
    "condensa-crash-*.txt",
    "crash*.txt",
)
_LARGEST: Final = 8 << 20  # bytes of a file; of larger ones the end, where what went wrong is told
DOCTOR: Final = "doctor.json"


def write_bundle(folder: Path, archive: Path, doctor: Mapping[str, Any], scrubber: Scrubber) -> dict[str, int]:
    """Writes a zip `archive` of the run in `folder` and the doctor's document; the bytes of each file in it, by name.

    All texts are scrubbed. Links are not followed. UsageError where `folder` is no run directory or `archive` exists
    already, MachineError where the disk refuses; then there is no archive.
    """
    if not (folder / "manifest.json").is_file() and not (folder / "run.log").is_file():
        raise UsageError(
            f"{folder} is no run directory: it holds neither manifest.json nor run.log",
            hint="give a folder that condensa run made",
        )
    if archive.exists():
        raise UsageError(f"{archive} exists already", hint="name another file with --output")
    found: dict[str, bytes] = {}
    try:
        for pattern in _FILES:
            for path in sorted(folder.glob(pattern)):
                if path.is_file() and not path.is_symlink():
                    found[path.name] = _cleaned(path.suffix, _end_of(path), scrubber).encode()
        found[DOCTOR] = scrubber.clean_json(json.dumps(doctor)).encode()
        with replacing(archive) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in found.items():
                file.writestr(name, content)
    except OSError as err:
        raise MachineError(f"cannot write {archive}: {err.strerror or err}", hint="name another with --output") from err
    return {name: len(content) for name, content in found.items()}


def _cleaned(suffix: str, text: str, scrubber: Scrubber) -> str:
    """A file's text by what it is; a torn or damaged one as plain text."""
    try:
        if suffix == ".json":
            return scrubber.clean_json(text)
    except (ValueError, RecursionError):
        return scrubber.clean(text)
    clean = {".jsonl": scrubber.clean_lines, ".yaml": scrubber.clean_yaml}.get(suffix, scrubber.clean)
    return clean(text)


def _end_of(path: Path) -> str:
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _LARGEST))
        text = file.read(_LARGEST).decode("utf-8", errors="replace")
    return text if size <= _LARGEST else f"[the first {size - _LARGEST} bytes are left out]\n{text}"
