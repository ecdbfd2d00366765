"""Texts of a run as strangers may read them: no secrets, no names of people or their folders, no code, no samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Names of settings whose values are nobody's business, in the environment and in files.
_SECRET: Final = re.compile(r"key|token|secret|passw|passphrase|pwd|credential|auth|cookie|session|dsn", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"""(?P<name>["']?[\w.-]{0,40}(?:api_?key|access_?key|token|secret|passw\w*|passphrase|credential\w*|auth\w*)["']?
        \s*[:=]\s*)(?P<value>"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s,}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_IN_URL: Final = re.compile(r"(?P<scheme>\w+://)[^/\s@]+@")
_NUMBERS: Final = re.compile(r"\b(tensor|array)\(\[[^)]*(?:\)|\Z)")
_FRAME: Final = re.compile(r'(?P<indent>\s*)File "(?P<path>[^"]+)", line \d+')
_NOT_THEIRS: Final = re.compile(r"site-packages|/condensa_(core|cli)/|/lib/python3|^<frozen")
_SHORTEST: Final = 6  # of a secret: shorter values stand in every text


@dataclass(frozen=True)
class Scrubber:
    """Replaces what must not be shared.

    `secrets` maps values to the names of their settings, `names` maps folders and people to what stands for them.
    """

    secrets: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, environment: Mapping[str, str], names: Mapping[str, str]) -> Scrubber:
        """With the values of all settings of the environment whose names speak of secrets."""
        secrets = {
            value: name
            for name, value in environment.items()
            if _SECRET.search(name) and len(value.strip()) >= _SHORTEST
        }
        return cls(secrets, {name: word for name, word in names.items() if name})

    def clean(self, text: str) -> str:
        """The text without them; lines of the user's own code in tracebacks are left out, and numbers of tensors."""
        for value in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(value, f"[{self.secrets[value]}]")
        text = _IN_URL.sub(r"\g<scheme>[left out]@", text)
        text = _ASSIGNED.sub(r'\g<name>"[left out]"', text)
        text = _NUMBERS.sub(r"\1([left out])", text)
        text = _without_code(text)
        for name in sorted(self.names, key=len, reverse=True):  # a folder before the person whose name is in it
            edge = r"(?<![\w-])" if name[0].isalnum() else ""
            text = re.sub(edge + re.escape(name) + r"(?![\w-])", self.names[name], text)
        return text


def _without_code(text: str) -> str:
    """Tracebacks whose frames in the user's files have no source lines."""
    kept: list[str] = []
    left_out: int | None = None  # the indentation of the frame whose lines are
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip())
        if left_out is not None and indent > left_out and line.strip():
            continue
        left_out = None
        kept.append(line)
        frame = _FRAME.match(line)
        if frame is not None and not _NOT_THEIRS.search(frame["path"]):
            left_out = len(frame["indent"])
    return "".join(kept)
