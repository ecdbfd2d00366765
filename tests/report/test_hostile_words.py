"""Hostile names and reasons in every report of a run and of bench, read back by parsers that are not ours."""

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from condensa_cli.console import drawn
from condensa_cli.problems import drawn_error, github_annotations
from rich.console import Console

from condensa_core.errors import Place, Problem, RecipeError
from condensa_core.report import (
    Artifact,
    Axis,
    Dot,
    Figure,
    FrontMember,
    GateResult,
    LayerChange,
    Picture,
    Table,
    TrialResult,
    front_chart,
    html_report,
    junit_xml,
    line_chart,
    scatter,
    tables,
    verdict,
)
from condensa_core.report.bench_files import bench_junit
from condensa_core.report.markdown import table_text

WORDS = (
    "|a|b|",
    "`code`",
    "<script>alert(1)</script>",
    "]]><b>",
    "\" onload='x' \"",
    "--><!--",
    "one\ntwo\r\nthree\u2028four",
    "\u202eltr\u2066\u061c",
    "\x00\x07\x08\x7f\x9b31m",
    "\x1b[31mred\x1b]8;;http://x\x07link",
    "::error file=x::owned",
    "%0A::error::y",
    "[bold]z[/bold]",
    "&lt;&#x3c;",
    "\udcff",
)
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\udc80-\udcff]")


@pytest.fixture
def hostile(outcome):
    """An outcome whose every text is hostile."""
    word = " ".join(WORDS)
    knobs = {word: word}
    return replace(
        outcome,
        name=word,
        reasons=WORDS,
        run_dir=word,
        constraint=replace(outcome.constraint, text=word, metric=word),
        objective=replace(outcome.objective, text=word, name=word, target=word, unit=word),
        gates=tuple(GateResult(w, reason=w, unit=w, met=False) for w in WORDS),
        best=replace(outcome.best, knobs=knobs, layers=tuple(LayerChange(w, 2, 1) for w in WORDS)),
        trials=tuple(TrialResult(i, knobs, "failed", reason=w) for i, w in enumerate(WORDS)),
        front=(FrontMember(1, word, 10, "0" * 64, knobs=knobs, metrics={"val": {word: Figure(0.9)}}, objective=2.0),),
        artifacts=tuple(Artifact(w, 1, "0" * 64) for w in WORDS),
        machine={w: w for w in WORDS},
        versions={w: w for w in WORDS},
    )


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, {name for name, _ in attributes}))

    def handle_comment(self, _):
        self.found.append(("comment", set()))


def shape_of(text):
    parser = Tags()
    parser.feed(text)
    return {tag for tag, _ in parser.found}, set().union(*(names for _, names in parser.found))


def on_a_terminal(*parts):
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    console.print(*parts)
    return console.file.getvalue()


def test_the_page_has_the_elements_of_a_harmless_one(outcome, hostile):
    page = html_report(hostile, [Picture(w, b"<svg/>") for w in WORDS])
    tags, attributes = shape_of(page)

    known_tags, known = shape_of(html_report(outcome, [Picture("search", b"<svg/>")]))
    assert tags <= known_tags | {"ul", "li", "p", "details", "summary"} and attributes <= known | {"class"}
    assert not STEERING.search(page)


def test_pictures_hold_words_and_no_further_elements(hostile):
    word = " ".join(WORDS)
    dots = [Dot(1.0, 2.0, word, hint=word), Dot(2.0, 3.0, "b")]
    axis = Axis(word, str, ((1.5, word),))
    pictures = [
        scatter(dots, axis, axis, title=word),
        front_chart(hostile),
        line_chart(dict.fromkeys(WORDS, (0.1, 0.2)), title=word, across=word, up=word),
    ]
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags.isdisjoint({"script", "b", "a", "image", "foreignObject"}) and "text" in tags
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        assert not STEERING.search(picture)


def test_junit_of_a_run_has_a_case_for_each_bound(hostile):
    text = junit_xml(hostile)

    root = ElementTree.fromstring(text)
    assert len(root) == 1 + len(WORDS) and {element.tag for element in root.iter()} <= {
        "testsuite",
        "testcase",
        "failure",
        "skipped",
    }
    assert not STEERING.search(text)


def test_junit_of_bench_has_a_case_for_each_verdict():
    verdicts = [{"gate": w, "name": w, "passed": False, "allowed": False, "line": w} for w in WORDS]
    text = bench_junit({"comparisons": [], "verdicts": verdicts})

    assert len(ElementTree.fromstring(text)) == len(WORDS)
    assert not STEERING.search(text)


def test_rows_of_markdown_keep_their_cells():
    text = table_text(Table("", WORDS, (WORDS, WORDS[::-1])))

    rows = text.split("\n")
    assert len(rows) == 4 and all(len(re.findall(r"(?<!\\)\|", row)) == len(WORDS) + 1 for row in rows)
    assert text.splitlines() == rows and not STEERING.search(text)
    assert not re.search(r"(?<!\\)<(?!!-- -->|span>|/span>)", text)


def test_terminals_get_no_escapes(hostile):
    shown = on_a_terminal(*(drawn(table) for table in tables(hostile)))

    assert not STEERING.search(shown)
    assert "[bold]z[/bold]" in shown


def test_annotations_are_one_line_each():
    problems = [Problem("E101", w, Place(w, 1, 1), (w,)) for w in WORDS]

    lines = github_annotations(problems).splitlines()

    assert len(lines) == len(WORDS) and all(line.startswith("::error file=") for line in lines)
    assert all(line.count("::") - line.partition("title=")[2].count("::") == 1 for line in lines)
    assert not any(STEERING.search(line) for line in lines)
    assert not STEERING.search(on_a_terminal(drawn_error(RecipeError(tuple(problems)))))


def test_the_documents_are_json(hostile):
    assert json.loads(json.dumps(hostile.to_json()))["reasons"] == [*WORDS[:-1], "?"]
    assert verdict(hostile)
