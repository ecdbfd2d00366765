"""How the recipe room says no: refusals raised while records are validated, and values as messages show them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError


def refusal(
    code: str, message: str, *advice: str, key: str | None = None, on_key: bool = False, offset: int = 0
) -> PydanticCustomError:
    """The error a validator raises: pydantic adds the key path, `complaints` turns it into a `Problem`.

    `key` points at a child of the refused value, `on_key` at the key instead of the value, `offset` so many characters
    into a text.
    """
    context = {"message": message, "advice": advice, "key": key, "on_key": on_key, "offset": offset}
    return PydanticCustomError(code, "{message}", context)


def not_available(what: str, *advice: str, key: str | None = None, on_key: bool = False) -> PydanticCustomError:
    """E110: the grammar knows it, this version cannot do it."""
    return refusal("E110", f"{what} is not available in this version", *advice, key=key, on_key=on_key)


def near(word: Any, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that `word` is most likely a misspelling of; letter case does not count."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    found = difflib.get_close_matches(str(word)[:80].casefold(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def suggestion(word: Any, known: Iterable[str], otherwise: str = "known: ") -> str:
    """`did you mean ...?`, or all known words when none is near."""
    known = tuple(known)
    close = near(word, known)
    return f"did you mean '{close}'?" if close else otherwise + ", ".join(known)


def look_alikes(text: str) -> tuple[str, ...]:
    """Help that names the first character that is not of ASCII, which may look like one that is; else none."""
    for position, char in enumerate(text, 1):
        if not char.isascii():
            return (f"character {position} is U+{ord(char):04X}, {unicodedata.name(char, 'which has no name')}",)
    return ()


def shown(value: Any) -> str:
    """A value as a message names it: with its kind, and never longer than a line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text '{value if len(value) <= 40 else value[:37] + '...'}'"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"'{value}'"
