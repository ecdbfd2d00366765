"""Tables and plain text in GitHub's Markdown, where names of files must not become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from condensa_core.report.tables import Table

_MARKUP: Final = re.compile(r"[\\|*_`<>\[\]~&]")
# No backslash helps against these, because GitHub looks for them in what was rendered.
_LATER: Final[Mapping[str, str]] = {
    "@": "@<!-- -->",  # a mention writes to people
    "#": "#<!-- -->",  # of an issue
    "$": "<span>$</span>",  # mathematics; the way out that GitHub's documentation gives
}


def plain(text: str) -> str:
    """The text as itself, in one line: spaces for white space, a question mark for what no font shows."""
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    escaped = _MARKUP.sub(r"\\\g<0>", shown)
    return re.sub("[@#$]", lambda found: _LATER[found[0]], escaped)


def table_text(table: Table) -> str:
    """The table under its title, without a newline at the end."""
    rule = "|" + " --- |" * len(table.columns)
    lines = [f"{plain(table.title)}\n"] if table.title else []
    return "\n".join([*lines, _row(table.columns), rule, *map(_row, table.rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"
