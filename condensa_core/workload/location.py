"""Where a path in a recipe leads."""

from __future__ import annotations

from pathlib import Path

from condensa_core.errors import WorkloadError


def located(path: str, directory: Path) -> Path:
    """`path` from `directory` on; a leading `~` or `~user` is a home folder.

    WorkloadError if there is none, and for what the system does not look up: too long a name, a folder that is closed.
    """
    try:
        found = directory / Path(path).expanduser()
        found.exists()
    except RuntimeError as err:
        raise WorkloadError(f"{path!r} begins with a home folder that is not known") from err
    except OSError as err:
        hint = "name a file or folder that this user may open; a path starts from the folder of the recipe"
        raise WorkloadError(f"{path[:80]!r} cannot be looked up: {err.strerror}", hint=hint) from err
    return found
