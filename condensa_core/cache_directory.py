"""Where things are kept that cost something to make and would be made the same again."""

from __future__ import annotations

import os
from pathlib import Path

from condensa_core.errors import MachineError


def default_cache_dir() -> Path:
    """Of trained references and engines: $CONDENSA_CACHE, else condensa under the user's cache folder."""
    given = os.environ.get("CONDENSA_CACHE")
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "condensa"
    except RuntimeError as err:
        raise MachineError("this user has no home folder", hint="name a cache with CONDENSA_CACHE") from err
