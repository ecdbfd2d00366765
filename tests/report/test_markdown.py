"""Names of files come out of Markdown as they went in. Rendered by markdown-it, which rich brings along."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from condensa_core.report.markdown import plain, table_text
from condensa_core.report.tables import Table

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def rows_of(text):
    """The table's cells as a reader sees them, row by row."""
    rows = []
    for token in RENDERER.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(part.content for part in token.children if part.type != "html_inline"))
    return rows


names = st.text(st.sampled_from("aé1 -:+\\|*_`<>[]()~&;$@#!ltmpw./\"'"), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "  " not in name
)


@given(names, names)
@example("~~a~~", "&lt;")
@example("|", "\\")
def test_a_name_is_rendered_as_itself(column, name):
    table = Table("", ("model", column), ((name, "1"), ("---", name)))

    assert rows_of(table_text(table)) == [["model", column], [name, "1"], ["---", name]]


@pytest.mark.parametrize("name", ["a@everyone", "a#1", "$x$ and $y$"])
def test_nothing_is_left_that_github_looks_for_in_rendered_text(name):
    (inline,) = (token for token in RENDERER.parse(plain(name)) if token.type == "inline")

    texts = [part.content for part in inline.children if part.type == "text"]

    assert "".join(texts) == name
    assert all(text.endswith(("@", "#")) or not set(text) & set("@#") for text in texts)
    assert all(text == "$" for text in texts if "$" in text)


def test_what_ends_a_line_or_a_colour_does_not():
    assert plain("a\rb\nc\u2028d\te") == "a b c d e"
    assert plain("\x1b[31mred\udcff\u202e") == "?\\[31mred??"
