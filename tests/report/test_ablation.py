"""The figures of an ablation, by hand; its picture, read back as XML."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from condensa_core.report import Ablation, Played, line_chart


def played(strategy, seed, factors, held=None):
    points = tuple({"s": i / 10} for i in range(len(factors)))
    return Played(strategy, seed, points, tuple(factors), tuple(held or [True] * len(factors)), "")


ABLATION = Ablation(
    recipe="r",
    objective="throughput",
    trials=4,
    best=(4.0, 2.0),
    searches=(
        played("quick", 0, [1.0, 4.0, 3.97]),  # stops after three; 3.97 is within 1 % of 4
        played("quick", 1, [2.0, 2.0]),
        played("slow", 0, [1.0, 2.0, 2.0, 3.0]),
        played("slow", 1, [1.0, 2.2, 1.0, 2.2], held=[True, False, True, False]),
    ),
    trainings=9,
)


def test_regret_is_what_the_best_known_ships_more():
    assert ABLATION.regrets("quick", 1) == [0.75, 0.0]
    assert ABLATION.regrets("quick", 4) == pytest.approx([0.0075, 0.0])  # it keeps its last answer
    assert ABLATION.regrets("slow", 4) == [0.25, 0.0]  # never below nothing


def test_trainings_to_the_level_count_until_the_answer_stays():
    assert ABLATION.trainings_to_level("quick") == [2, 1]
    assert ABLATION.trainings_to_level("slow") == [None, 4]  # the second falls back in between


def test_distances_to_the_level_keep_the_last_estimate():
    near = replace(played("quick", 0, [1.0, 4.0]), distances=(0.3, 0.01))
    failed = played("quick", 1, [])

    ablation = replace(ABLATION, searches=(near, failed))

    assert [ablation.distances("quick", n) for n in (1, 2, 4)] == [[0.3], [0.01], [0.01]]


def test_the_table_gives_medians_and_broken_bounds():
    rows = {row[0]: row[1:] for row in ABLATION.table().rows}

    assert rows["quick"] == ("2.5", "1.5", "0.4%", "0.4%", "0 of 2")
    assert rows["slow"] == ("4", "never", "50.0%", "12.5%", "1 of 2")


def test_the_document_is_json_and_carries_the_figures():
    document = json.loads(json.dumps(ABLATION.to_json(), allow_nan=False))

    assert document["schema"] == "condensa.ablation/1"
    assert document["strategies"]["slow"]["trainings_to_level"] == [None, 4]
    assert document["strategies"]["quick"]["regret"][0] == [0.75, 0.0]
    assert document["searches"][0]["factors"] == [1.0, 4.0, 3.97]


def test_the_chart_draws_each_line_at_its_values():
    svg = line_chart({"a <b>": [0.5, 0.25], "c": [0.0, 0.0]}, title="t & u", across="x", up="y")

    root = ElementTree.fromstring(svg)
    lines = [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in root.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    (first, second), flat = lines
    assert flat[0][1] == flat[1][1]  # zero
    assert first[0] == flat[0][0] and second[0] == flat[1][0]
    assert (flat[0][1] - second[1]) / (flat[0][1] - first[1]) == pytest.approx(0.5, abs=0.01)  # a tenth of a pixel
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b>", "c", "t & u", "0%", "50%"} <= set(texts)


def test_an_empty_chart_is_still_a_picture():
    assert ElementTree.fromstring(line_chart({}, title="", across="", up="")) is not None
