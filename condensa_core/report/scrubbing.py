"""Texts of a run as strangers may read them: no secrets, no names of people or their folders, no code, no samples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Names of settings whose values are nobody's business, in the environment and in files.
_SECRET: Final = re.compile(r"key|token|secret|passw|passphrase|pwd|credential|auth|cookie|session|dsn", re.IGNORECASE)
_NOT_SECRET: Final = re.compile(r"tokeniz|keyboard|keyword|author|key_|keys", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"""(?P<name>["']?[\w.-]{0,40}(?:(?:api|access|secret|private|signing|encryption)[_-]?key|token|secret|passw\w*
        |passphrase|pwd|credential\w*|auth\w*|cookie|signature)(?:_\w{1,20})?["']?\s*[:=]\s*)
        (?P<value>"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\n,}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
# What services make secrets look like: tokens, keys in PEM, signed statements, what follows the word for it.
_SHAPES: Final = re.compile(
    r"\b(?:hf_\w{8,}|gh[pousr]_\w{12,}|github_pat_\w{12,}|glpat-[\w-]{12,}|sk-[\w-]{12,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}"
    r"|xox[abeprs]-[\w-]{8,}|eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=\bBearer )[\w.~+/=-]{4,}|(?<=\bbearer )[\w.~+/=-]{4,}|(?<=\bBasic )[\w+/=]{8,}",
    re.DOTALL,
)
_IN_URL: Final = re.compile(r"(?P<scheme>(?<!\w)\w{1,20}://)[^\s\"'<>]*@")
_QUERY: Final = re.compile(r"(?P<address>(?<!\w)\w{1,20}://[^\s\"'<>?]*\?)[^\s\"'<>]+")
_LEFT_OUT: Final = "[left out]"
_NUMBERS: Final = re.compile(r"\b(tensor|array)\(\[[^)]*(?:\)|\Z)")
_FRAME: Final = re.compile(r'(?P<indent>\s*)File "(?P<path>[^"]+)", line \d+')
_NOT_THEIRS: Final = re.compile(r"site-packages|/condensa_(core|cli)/|/lib/python3|^<frozen")
_SETTING: Final = re.compile(
    r"""(?P<before>\s*(?:- )*)["']?(?P<name>[\w.-]+)["']?:(?:[ ]+(?P<value>.*)|(?P<none>))$""", re.MULTILINE
)
_COUNTED: Final = re.compile(r"(?:null|true|false|[\d.e+-]+)\s*")
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
            for written in (value, json.dumps(value)[1:-1], repr(value)[1:-1]):
                text = text.replace(written, f"[{self.secrets[value]}]")
        text = _IN_URL.sub(rf"\g<scheme>{_LEFT_OUT}@", text)
        text = _QUERY.sub(rf"\g<address>{_LEFT_OUT}", text)
        text = _SHAPES.sub(_LEFT_OUT, text)
        text = _ASSIGNED.sub(r'\g<name>"[left out]"', text)
        text = _NUMBERS.sub(r"\1([left out])", text)
        text = _without_code(text)
        for name in sorted(self.names, key=len, reverse=True):  # a folder before the person whose name is in it
            edge = r"(?<![\w-])" if name[0].isalnum() else ""
            text = re.sub(edge + re.escape(name) + r"(?![\w-])", self.names[name], text)
        return text

    def clean_json(self, text: str) -> str:
        """The same of JSON: the text of each value, and whole values of settings whose names speak of secrets."""
        return json.dumps(self._cleaned(json.loads(text)), indent=2)

    def clean_lines(self, text: str) -> str:
        """The same of JSON a line; lines that are none are texts."""
        return "".join(f"{self._line(line)}\n" for line in text.splitlines())

    def clean_yaml(self, text: str) -> str:
        """The same of YAML, which keeps its lines but those of settings whose names speak of secrets."""
        kept: list[str] = []
        inside: int | None = None  # the indentation of a setting whose lines are left out
        for line in text.splitlines(keepends=True):
            indent = len(line) - len(line.lstrip())
            of_its_list = inside is not None and indent == inside and line.lstrip().startswith("- ")
            if inside is not None and (indent > inside or of_its_list or not line.strip()):
                continue
            inside = None
            setting = _SETTING.match(line)
            if setting is not None and _is_secret(setting["name"]) and not _COUNTED.fullmatch(setting["value"] or ""):
                inside = len(setting["before"])
                line = f'{setting["before"]}{setting["name"]}: "{_LEFT_OUT}"\n'
            kept.append(line)
        return self.clean("".join(kept))

    def _line(self, line: str) -> str:
        try:
            return json.dumps(self._cleaned(json.loads(line)))
        except ValueError:
            return self.clean(line)

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, list):
            return [self._cleaned(item) for item in value]
        if isinstance(value, dict):
            return {
                self.clean(name): _LEFT_OUT if _is_secret(name) and not _is_counted(item) else self._cleaned(item)
                for name, item in value.items()
            }
        return value


def _is_secret(name: str) -> bool:
    """Whether a setting's name speaks of a secret."""
    return bool(_SECRET.search(_NOT_SECRET.sub("", name)))


def _is_counted(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


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
