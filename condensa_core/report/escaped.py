"""Texts of others in HTML and SVG."""

from __future__ import annotations

from html import escape

from condensa_core.report.xml_text import xml_text


def escaped(text: str) -> str:
    """The text as itself, in an element or an attribute."""
    return escape(xml_text(text))
