"""What a plain YAML scalar means: the core schema of YAML 1.2, where `2:4` is text and `1e-4` a number.

PyYAML resolves by YAML 1.1: 2:4 becomes 124, 1e-4 a text, `on` and `no` become booleans; recipes are full of these.
Source: YAML 1.2.2, section 10.3.2 (tag resolution).
"""

from __future__ import annotations

import re
from typing import Final

Scalar = str | int | float | bool | None

NULL: Final = re.compile(r"null|Null|NULL|~|")
BOOLEAN: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# Longer digit strings are read as floats: Python refuses to parse int texts past 4300 digits, and no key needs them.
_LONGEST_INTEGER: Final = 20


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar; what is no null, boolean, integer or float is text."""
    if NULL.fullmatch(text):
        return None
    if BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if INTEGER.fullmatch(text):
        if len(text) > _LONGEST_INTEGER:
            return float(text) if text[:2] not in ("0o", "0x") else text
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if FLOAT.fullmatch(text):
        return float(text.replace(".", "") if text[-1].isalpha() else text)  # .inf, -.INF, .NaN lose their dot
    return text
