"""Weights that an ONNX file keeps in other files: there, inside its folder, and whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from condensa_core.bench.onnx_graph import External
from condensa_core.errors import UsageError


def check_external(path: Path, external: Iterable[External]) -> None:
    """UsageError for a file that lies outside the model's folder (by links too), is missing or cut short."""
    ends: dict[str, int] = {}
    for part in external:
        ends[part.location] = max(ends.get(part.location, 0), part.offset + part.length)
    folder = path.parent.resolve()
    for location, end in ends.items():
        try:
            file = (path.parent / location).resolve()
            file.stat()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as err:  # too long, with a NUL, through a file, in a circle of links
            raise UsageError(
                f"{path} keeps weights in {location[:80]!r}, which is no file's name",
                hint="export it again, with its weights in files beside it",
            ) from err
        if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
            raise UsageError(
                f"{path} keeps weights outside its own folder, in {location!r}",
                hint="a model may point at any file of yours: put the weights beside it, or save it as one file",
            )
        if not file.is_file():
            state = "no plain file" if file.exists() else "missing"
            raise UsageError(
                f"{path} keeps weights in {location}, which is {state}", hint="put that file beside the model"
            )
        if file.stat().st_size < end:
            raise UsageError(
                f"{path} keeps weights in {location} up to byte {end:,}, and that has {file.stat().st_size:,}",
                hint="it was cut short or belongs to another model: copy both files again",
            )
