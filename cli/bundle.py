"""`condensa doctor --bundle`: what to send along with a report of a failed run."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from condensa_core.errors import UsageError
from condensa_core.report.bundle import write_bundle
from condensa_core.report.outcome import read_document
from condensa_core.report.quantities import bytes_text
from condensa_core.report.scrubbing import Scrubber

from .console import show, show_json


def bundle(run_dir: Path, output: Path | None, doctor: Mapping[str, Any], *, as_json: bool) -> None:
    """Write the archive and say what is in it; errors as of `write_bundle`."""
    archive = output or Path(f"condensa-{run_dir.resolve().name}.zip")
    found = write_bundle(run_dir, archive, doctor, Scrubber.of(os.environ, _names(run_dir)))
    if as_json:
        show_json({
            "schema": "condensa.bundle/1",
            "status": "ok",
            "exit_code": 0,
            "reasons": [],
            "archive": str(archive),
            "files": [{"name": name, "bytes": size} for name, size in found.items()],
        })  # fmt: skip
        return
    show(
        f"{archive} holds",
        *(f"  {name} ({bytes_text(size)})" for name, size in found.items()),
        "without weights, data, code, and what looked like secrets or names of people and folders; look into it before "
        "you send it",
    )


def _names(run_dir: Path) -> dict[str, str]:
    """Folders of the run, the home folder, the user and this machine by name, and what stands for them."""
    names = {str(run_dir.resolve()): "RUN_DIR", str(Path.home()): "~", platform.node(): "HOST", sys.prefix: "PYTHON"}
    with suppress(UsageError, KeyError, TypeError):
        head = read_document(run_dir / "manifest.json")
        names[str(Path(head["recipe_directory"]))] = "RECIPE_DIR"
    with suppress(KeyError, OSError, ImportError):
        names[getpass.getuser()] = "USER"
    return {name: word for name, word in names.items() if name not in ("/", ".", "", "root")}
