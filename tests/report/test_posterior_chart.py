"""The picture of a search, read back as XML: every trial at its place, every text escaped."""

import xml.etree.ElementTree as ElementTree

import pytest

from condensa_core.report import Axis, Dot, posterior_chart, scatter
from condensa_core.search import Knob, LevelProblem, ObjectiveProfile, Observation, Space, portrait

SVG = "{http://www.w3.org/2000/svg}"


def drawn(knob, pairs, seen, *, reference=0.92, level=0.9, better="higher", metric="top1", pending=()):
    profile = ObjectiveProfile.measured(knob, pairs, 10.0)
    problem = LevelProblem(Space((knob,)), profile, level, reference, better, noise_sd=0.002)
    found = portrait(problem, seen, pending)
    return found, ElementTree.fromstring(posterior_chart(found, title="<run> & co", metric=metric))


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def hints(root):
    return [(mark, title.text) for mark in root.iter() for title in mark.findall(f"{SVG}title")]


@pytest.fixture
def sparsities():
    knob = Knob("s", range=(0.0, 0.98))
    seen = [
        Observation({"s": 0.5}, "ok", 0.918, objective=20.0),
        Observation({"s": 0.9}, "ok", 0.5, objective=90.0),
        Observation.failed({"s": 0.8}, "diverged"),
    ]
    pairs = [(s, 10 / (1 - s)) for s in knob.grid(50)]
    return drawn(knob, pairs, seen, pending=[{"s": 0.7}])


def test_each_trial_is_there_at_its_strength(sparsities):
    found, root = sparsities
    trials = [(mark, hint) for mark, hint in hints(root) if hint.startswith("trial")]

    assert [hint.split(",")[0] for _, hint in trials] == ["trial 0: s 0.5", "trial 1: s 0.9", "trial 2: s 0.8"]
    held, broke, failed = (mark for mark, _ in trials)
    assert failed.tag == f"{SVG}path" and held.tag == broke.tag == f"{SVG}circle"
    assert held.get("stroke") != broke.get("stroke")
    share = (float(broke.get("cx")) - float(held.get("cx"))) / (found.trained[1].unit - found.trained[0].unit)
    assert share == pytest.approx(580, rel=1e-3)  # pixels of the whole axis, equal steps in log-density
    assert float(held.get("cy")) < float(broke.get("cy"))


def test_what_it_shows_is_named(sparsities):
    _, root = sparsities

    words = set(texts(root))
    assert {"<run> & co", "s", "median", "limit", "reference", "95% band", "80% band", "bracket", "ships"} <= words
    assert {"holds the bound", "breaks the bound", "failed to train", "being trained", "records"} <= words
    assert "meets it within noise" not in words  # there is none
    assert {"0.5", "0.9"} <= words and any(word.endswith("%") and "band" not in word for word in words)


def test_a_trial_that_was_given_up_does_not_look_measured():
    knob = Knob("s", range=(0.0, 0.9))
    pairs = [(s, 10 / (1 - s)) for s in knob.grid(20)]
    measured = Observation({"s": 0.7}, "ok", 0.85, 0.002)
    given_up = Observation({"s": 0.8}, "aborted", 0.8, 0.002, failure="given up")

    _, root = drawn(knob, pairs, [measured, given_up])

    (broke, _), (expected, hint) = [(mark, hint) for mark, hint in hints(root) if hint.startswith("trial")]
    assert "given up" in hint
    assert broke.get("stroke") != expected.get("stroke")
    assert {"breaks the bound", "given up, as expected"} <= set(texts(root))


def test_the_staircase_of_records_climbs_through_every_record():
    knob = Knob("s", range=(0.0, 0.9))
    found, root = drawn(knob, [(0.0, 10), (0.3, 20), (0.5, 15), (0.7, 40)], [Observation({"s": 0.3}, "ok", 0.918)])

    lines = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    steps = [tuple(map(float, place.split(","))) for place in lines[-1]]
    assert len(steps) == 2 + 2 * len(found.records)
    heights = [y for _, y in steps]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 3
    # 1x to 2x is as high as 2x to 4x
    assert heights[0] - heights[2] == pytest.approx(heights[2] - heights[-1], abs=0.2)


def test_a_loss_a_size_and_choices_are_drawn_as_well():
    knob = Knob("form", choices=("fp32", "fp16", "<int8>"))
    seen = [Observation({"form": "fp16"}, "ok", 1.2), Observation({"form": "<int8>"}, "ok", 4.0)]
    pairs = [("fp32", 11.0), ("fp16", 20.0), ("<int8>", 40.0)]
    _, root = drawn(knob, pairs, seen, reference=1.1, level=1.3, better="lower", metric="loss")

    assert {"fp32", "fp16", "<int8>", "holds the bound", "breaks the bound"} <= set(texts(root))


def test_a_scatter_has_a_dot_for_every_point_and_a_colour_for_every_kind():
    dots = [Dot(1.0, 0.9, "a"), Dot(2.0, 0.8, "<b>", up_sd=0.05, hint="trial 1"), Dot(3.0, 0.5, "a", ringed=True)]
    axis = Axis("gain", "{:g}x".format)

    svg = scatter(
        dots, axis, Axis("top1", "{:g}".format, ((0.85, "limit"),)), title="t", front=((1.0, 0.9), (2.0, 0.8))
    )

    root = ElementTree.fromstring(svg)
    circles = [c for c in root.iter(f"{SVG}circle") if c.get("fill") != "none"][:3]
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in circles]
    assert places[1][0] - places[0][0] == pytest.approx(places[2][0] - places[1][0], abs=0.2)
    assert places[0][1] < places[1][1] < places[2][1]
    assert circles[0].get("stroke") == circles[2].get("stroke") != circles[1].get("stroke")
    assert {"a", "<b>", "limit", "gain", "top1", "t"} <= set(texts(root))
    assert ElementTree.fromstring(scatter([], axis, axis, title="none")) is not None
