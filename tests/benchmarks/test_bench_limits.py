"""The benchmarks of `condensa bench` fail where their limits are missed."""

from __future__ import annotations

import pytest
from bench_agreement import clock_of, outcome
from bench_overhead import missed

FINE = {"onnxruntime": {"stretch_ns": 200.0, "single_ns": 900.0}, "openvino": {"stretch_ns": 300.0, "single_ns": 950.0}}


@pytest.mark.parametrize(("agrees", "code"), [([True, True], 0), ([True, False], 1), ([], 1)])
def test_one_figure_that_disagrees_fails(agrees, code):
    assert outcome([{"agrees": each} for each in agrees]) == code


def test_several_threads_are_held_against_others_on_the_wall():
    assert [clock_of(threads) for threads in (1, 2)] == ["processor", "wall"]


@pytest.mark.parametrize(
    ("wall_s", "processor_s", "busy", "single_ns", "count"),
    [
        (1.0, 0.9, False, 900.0, 0),
        (2.0, 0.9, False, 900.0, 1),
        (2.0, 0.9, True, 900.0, 0),  # others had the processor
        (9.0, 2.1, True, 900.0, 1),
        (1.0, 0.9, False, 2000.0, 1),
        (1.0, 0.9, False, float("nan"), 1),
    ],
)
def test_each_limit_of_the_overhead_counts(wall_s, processor_s, busy, single_ns, count):
    overhead = {**FINE, "onnxruntime": {"stretch_ns": 200.0, "single_ns": single_ns}}

    assert len(missed(wall_s, processor_s, busy, overhead)) == count
