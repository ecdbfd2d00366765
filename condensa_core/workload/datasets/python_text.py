"""`python-text`: the sources of Python's own standard library, which are wherever condensa runs."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Final

from condensa_core.errors import MachineError
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.datasets.text_partition import parted, shuffled
from condensa_core.workload.datasets.texts import TextSet, TextSource

_MOST: Final = 4_000_000  # bytes
# Tests are not installed everywhere; encodings and topics are tables; generated files hold this machine's paths.
_LEFT_OUT: Final = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__pycache__"}
)
_GENERATED: Final = ("_sysconfigdata", "config-")


def load(options: DataOptions, directory: Path) -> TextSet:
    """Files in the order of a hash of their names, until `max_bytes` (4 MB by default) are reached.

    The same interpreter has the same files everywhere; another version is another corpus.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    paths = {}
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder)
        if not _LEFT_OUT.intersection(name.parts) and not name.parts[0].startswith(_GENERATED):
            paths[name.as_posix()] = path
    if not paths:
        raise MachineError(f"python-text: {folder} holds no sources", hint="install Python with its .py files")
    files: dict[str, bytes] = {}
    left = options.max_bytes or _MOST
    for chosen in shuffled(paths):
        content = paths[chosen].read_bytes()
        if content and len(content) <= left:
            files[chosen] = content
            left -= len(content)
    return parted(files, "python-text", options.val_fraction)


PYTHON_TEXT: Final = TextSource(
    name="python-text",
    load=load,
    takes=frozenset({"level", "length", "vocabulary", "val_fraction", "max_bytes"}),
)
