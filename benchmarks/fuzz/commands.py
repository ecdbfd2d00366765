"""Command lines run in this process and judged: an exit code of the table, a message, no traceback."""

from __future__ import annotations

import contextlib
import io
import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

import condensa_cli.app
import typer
from condensa_cli.app import exit_code_of
from fuzzing import Failure

_CODE = re.compile(r"(?:error|warning)\[([EW]\d+)\]")
_CONTROL = frozenset(("Cc", "Cf", "Cs"))

# Typer builds its table of commands anew for every call, which would be half of the time.
condensa_cli.app.app = typer.main.get_command(condensa_cli.app.app)


def judged(arguments: Sequence[str], allowed: Collection[int]) -> str:
    """The exit code, with the first code of a mistake where one is told; Failure for what no user may see."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit_code_of(arguments)
    return verdict(code, out.getvalue(), err.getvalue(), allowed, as_json="--json" in arguments)


def verdict(code: int, out: str, err: str, allowed: Collection[int], *, as_json: bool = False) -> str:
    """The same of a command that has ended."""
    told = out + err
    if code == 70:
        raise Failure(_traceback(told) or told[-2000:])
    if code not in allowed:
        raise Failure(f"exit code {code}: {told[-500:]}")
    if not told.strip() and code:
        raise Failure(f"exit code {code} without a word")
    if as_json:
        document = json.loads(out)
        if document["exit_code"] != code:
            raise Failure(f"the document says {document['exit_code']}, the process {code}")
    steering = next((char for char in told if char != "\n" and unicodedata.category(char) in _CONTROL), None)
    if steering is not None:
        raise Failure(f"prints the character U+{ord(steering):04X}")
    found = _CODE.search(told)
    return f"{code} {found[1]}" if found else str(code)


def _traceback(told: str) -> str | None:
    saved = re.search(r"The traceback is in (\S+?)[;\s]", told)
    if saved is None:
        return None
    path = Path(saved[1])
    try:
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[-14:])
    finally:
        path.unlink(missing_ok=True)
