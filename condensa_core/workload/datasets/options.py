"""The options under `data: {builtin: NAME, ...}`, checked."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from condensa_core.errors import WorkloadError

_EVERYWHERE = frozenset({"limit", "batch"})


@dataclass(frozen=True)
class DataOptions:
    """The options a recipe may give; None stands for the data set's own default.

    `path`: the folder that holds the files, relative to the recipe. `limit`: only the first so many samples of each
    split, for debugging. `val_fraction` (of the training part, between 0 and 1) or `val_count` (samples): how much
    is cut off for validation. `augment`: none, flip, shift or crop-flip. `batch`: the training batch. `download`:
    fetch what is missing. `size`: side of the square that images are brought to. `level`: whether tokens of a text are
    bytes, characters or words. `length`: tokens in a window. `vocabulary`: the most tokens a model is to know.
    `max_bytes`: how much text is read.
    """

    path: str | None = None
    limit: int | None = None
    val_fraction: float | None = None
    val_count: int | None = None
    augment: str | None = None
    batch: int | None = None
    download: bool = False
    size: int | None = None
    level: str | None = None
    length: int | None = None
    vocabulary: int | None = None
    max_bytes: int | None = None


def data_options(name: str, given: Mapping[str, Any], takes: frozenset[str]) -> DataOptions:
    """The given options of data set `name`; WorkloadError for an unknown name, a wrong type or an impossible value."""
    allowed = _EVERYWHERE | takes
    for key, value in given.items():
        if key not in allowed:
            near = difflib.get_close_matches(key, sorted(allowed), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "it takes: " + ", ".join(sorted(allowed))
            raise WorkloadError(f"data set {name!r} has no option {key!r}", hint=hint)
        if value is not None:
            _check(name, key, value)
    options = DataOptions(**{key: value for key, value in given.items() if value is not None})
    if options.val_fraction is not None and options.val_count is not None:
        raise WorkloadError(f"data set {name!r} has both val_fraction and val_count", hint="keep one of them")
    return options


def _check(name: str, key: str, value: Any) -> None:
    kinds = {field.name: field.type for field in dataclasses.fields(DataOptions)}
    wanted, fits = {
        "str": ("text", isinstance(value, str)),
        "bool": ("true or false", isinstance(value, bool)),
        "int": ("a count of at least 1", isinstance(value, int) and not isinstance(value, bool) and value >= 1),
        "float": ("a number between 0 and 1", isinstance(value, (int, float)) and 0 < value < 1),
    }[str(kinds[key]).removesuffix(" | None")]
    if not fits:
        raise WorkloadError(f"data set {name!r}: {key} must be {wanted}, got {value!r}")
