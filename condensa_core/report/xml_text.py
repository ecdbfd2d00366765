"""Text that may stand in XML."""

from __future__ import annotations

import re
from typing import Final

# XML 1.0 forbids these even when escaped
_FORBIDDEN: Final = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """The text with a question mark for each character that no XML document holds; markup is not escaped."""
    return _FORBIDDEN.sub("?", text)
