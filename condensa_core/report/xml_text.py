"""Text that may stand in XML."""

from __future__ import annotations

import re
from typing import Final

# What XML 1.0 forbids even when escaped, the controls that it allows, and marks that reorder the text around them.
_FORBIDDEN: Final = re.compile(
    r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def xml_text(text: str) -> str:
    """The text with a question mark for each character that is not to be shown; markup is not escaped."""
    return _FORBIDDEN.sub("?", text)
