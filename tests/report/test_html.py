"""The page is well-formed, holds every picture, needs nothing else, and escapes what it is given."""

import base64
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from condensa_core.report import Artifact, GateResult, Picture, html_report, pictures_of, tables

HOSTILE = "<script>alert('x')</script>&\"<img src=http://x onerror=y>"


def page(outcome, pictures=()):
    """The tree of the page, which is XML as well."""
    text = html_report(outcome, pictures)
    assert text.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def words(root):
    return " ".join(root.itertext())


def test_it_says_what_the_verdict_and_the_tables_say(outcome):
    root = page(replace(outcome, machine={"cpu": "Z80"}, versions={"torch": "9.9"}))

    text = words(root)
    assert "digits-filters: done, but a gate does not hold" in text
    assert "top1 98.75 % ± 0.66 -> 97.14 % ± 0.99 (280 samples)" in text
    for table in tables(outcome):
        assert table.title in text
        assert all(cell in text for row in table.rows for cell in row)
    assert "Z80" in text and "9.9" in text


def test_hostile_names_stay_text(outcome):
    hostile = replace(
        outcome,
        name=HOSTILE,
        reasons=(HOSTILE,),
        notes=(HOSTILE,),
        gates=(GateResult(HOSTILE, met=False),),
        best=replace(outcome.best, knobs={HOSTILE: HOSTILE}),
        artifacts=(Artifact(HOSTILE, 1, "0" * 64),),
        machine={HOSTILE: HOSTILE},
    )

    root = page(hostile, [Picture(HOSTILE, b"<svg/>")])

    assert not list(root.iter("script")) and words(root).count("<script>") >= 6
    for image in root.iter("img"):
        assert set(image.keys()) == {"alt", "src"} and image.get("src").startswith("data:image/svg+xml;base64,")


def test_it_loads_nothing_from_elsewhere(outcome):
    root = page(outcome, [Picture("search", b"<svg/>")])

    assert {element.tag for element in root.iter()}.isdisjoint({"script", "link", "iframe", "object", "a"})
    linked = [value for element in root.iter() for key, value in element.items() if key in ("src", "href")]
    assert len(linked) == 1 and "url(" not in words(root)


def test_pictures_are_those_of_the_run_directory_latest_first(outcome, tmp_path):
    (tmp_path / "search.svg").write_text("<svg>latest</svg>")
    for number in (0, 10):
        folder = tmp_path / f"trials/{number:03d}"
        folder.mkdir(parents=True)
        (folder / "posterior.svg").write_text(f"<svg>{number}</svg>")

    pictures = pictures_of(tmp_path)
    root = page(outcome, pictures)

    assert [picture.title for picture in pictures] == ["search", "after trial 0", "after trial 10"]
    shown = [base64.b64decode(image.get("src").partition(",")[2]) for image in root.iter("img")]
    assert shown == [b"<svg>latest</svg>", b"<svg>0</svg>", b"<svg>10</svg>"]
    assert len(list(root.iter("details"))) == 2


def test_facts_of_the_machine_are_words_not_python(outcome):
    page = html_report(
        replace(outcome, machine={"power_limits": ("a", "b"), "gpu": {"name": "H", "mib": 3}, "no": None})
    )

    assert "<td>power limits</td><td>a, b</td>" in page
    assert "<td>gpu</td><td>name H, mib 3</td>" in page and "<td>no</td><td>-</td>" in page
