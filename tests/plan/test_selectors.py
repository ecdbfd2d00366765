"""Selectors against a regular expression written from their definition."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.plan import selects

segments = st.sampled_from(["a", "b", "ab", "conv1", "0"])
names = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.lists(segments | st.sampled_from(["*", "**", "a*", "conv?"]), min_size=1, max_size=4)


def as_regular_expression(pattern):
    """Every segment ends with a dot: `**` is any number of segments, `*` is anything but a dot."""
    parts = []
    for part in pattern:
        if part == "**":
            parts.append(r"(?:[^.]+\.)*")
        else:
            parts.append("".join("[^.]*" if c == "*" else "[^.]" if c == "?" else re.escape(c) for c in part) + r"\.")
    return "".join(parts)


@given(patterns, names)
def test_a_glob_is_matched_segment_by_segment(pattern, name):
    expected = re.fullmatch(as_regular_expression(pattern), name + ".") is not None

    assert selects(".".join(pattern), name) is expected


@given(names)
def test_all_and_a_name_itself_match(name):
    assert selects("all", name)
    assert selects("**", name)
    assert selects(name, name)
    assert selects("re:" + re.escape(name), name)
    assert not selects("re:" + re.escape(name), name + "x")


@pytest.mark.parametrize(
    ("selector", "yes", "no"),
    [
        ("layer1.**", ["layer1.0.conv1", "layer1"], ["layer10.0.conv1", "x.layer1.0"]),
        ("layer1.*.conv1", ["layer1.0.conv1"], ["layer1.0.0.conv1", "layer1.conv1"]),
        ("**.conv1", ["conv1", "a.b.conv1"], ["a.conv11"]),
        ("re:layer[12]\\.0", ["layer1.0"], ["layer1.0.x", "xlayer1.0"]),
    ],
)
def test_selectors_by_example(selector, yes, no):
    assert all(selects(selector, name) for name in yes)
    assert not any(selects(selector, name) for name in no)
