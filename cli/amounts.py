"""Amounts with units as options give them: `1.5x`, `5%`, `6MiB`, `1,8,32`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from condensa_core.errors import UsageError

_NUMBER: Final = r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"
_RATIO: Final = re.compile(_NUMBER + "x?")
_PERCENT: Final = re.compile(_NUMBER + " ?%")
_SIZE: Final = re.compile(_NUMBER + " ?(B|kB|MB|GB|KiB|MiB|GiB)")
_UNITS: Final = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_MOST_SAMPLES: Final = 10**6


def listed(texts: Sequence[str]) -> list[str]:
    """The parts of an option that is given by commas, one by one, or both; each once."""
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split(",")))


def samples(text: str, option: str) -> int:
    """`32`, from 1 to a million."""
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 0 < int(text) <= _MOST_SAMPLES:
        hint = f"write one from 1 to {_MOST_SAMPLES}, or several: {option} 1,8,32"
        raise UsageError(f"{option} {text} is no number of samples", hint=hint)
    return int(text)


def ratio(text: str, option: str) -> float:
    """`1.5x`, or `1.5`, above 0."""
    found = _RATIO.fullmatch(text)
    if found is None or not float(found[1]) > 0:
        raise UsageError(f"{option} {text} is no ratio", hint="write how many times as fast, such as 1.5x")
    return float(found[1])


def percentage(text: str, option: str) -> float:
    """`5%`, as 0.05; 0 or above."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} {text} is no percentage", hint="write how much more time, such as 5%")
    return float(found[1]) / 100


def size_in_bytes(text: str, option: str) -> int:
    """`6MiB` or `500kB`, at least one byte."""
    found = _SIZE.fullmatch(text)
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise UsageError(f"{option} {text} is no size", hint="write it with its unit, such as 6MiB, 500kB or 800000B")
    return size
