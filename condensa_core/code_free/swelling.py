"""Archives that were made to fill the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from condensa_core.errors import UsageError

_MOST_TIMES_LARGER: Final = 4  # torch stores without compressing
_SPARE_BYTES: Final = 2**26


def require_no_swelling(declared_bytes: int, path: Path) -> None:
    """UsageError where the members of the archive at `path` take `declared_bytes`, far more than its file."""
    if declared_bytes > _MOST_TIMES_LARGER * path.stat().st_size + _SPARE_BYTES:
        raise UsageError(f"{path} declares more than it can hold", hint="it was made to fill the memory")
