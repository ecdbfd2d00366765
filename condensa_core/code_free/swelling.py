"""Archives that were made to fill the memory."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from condensa_core.errors import UsageError

_MOST_TIMES_LARGER: Final = 4  # torch stores without compressing
_SPARE_BYTES: Final = 2**26


def require_no_swelling(archive: zipfile.ZipFile, path: Path) -> None:
    """UsageError where the members of the archive at `path` are far larger than its file."""
    declared = sum(member.file_size for member in archive.infolist())
    if declared > _MOST_TIMES_LARGER * path.stat().st_size + _SPARE_BYTES:
        raise UsageError(f"{path} declares more than it can hold", hint="it was made to fill the memory")
