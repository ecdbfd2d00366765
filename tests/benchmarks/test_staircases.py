"""Throughput that moves in steps of the hardware's multiples."""

from __future__ import annotations

import numpy as np
import pytest
from curves import STRONGEST, task
from staircases import SETTINGS, Staircase, stair_task, staircase

from condensa_core.search import Knob, ObjectiveProfile

KNOB = Knob("sparsity", range=(0.0, STRONGEST))
VALUES = np.array(KNOB.grid(SETTINGS))


def slowly(stairs: Staircase, sparsity: float) -> float:
    """The time of one network, layer by layer, with whole numbers of channels."""
    time, before = stairs.overhead, 1.0
    for width, work in zip(stairs.widths, stairs.work, strict=True):
        kept = max(round((1 - sparsity) * width), 1)
        padded = -(-kept // stairs.multiple) * stairs.multiple / width
        time += work * before * padded * (1 if kept % stairs.multiple == 0 else stairs.penalty)
        before = padded
    return time


@pytest.mark.parametrize("seed", range(4))
def test_throughput_is_that_of_the_layers_one_by_one(seed):
    stairs = staircase(seed)

    for sparsity in (0.0, 0.013, 0.27, 0.5, 0.731, 0.95):
        assert float(stairs(sparsity)) == pytest.approx(slowly(stairs, 0.0) / slowly(stairs, sparsity), rel=1e-12)


def test_a_whole_multiple_is_faster_than_any_slightly_milder_setting():
    stairs = Staircase(widths=(64, 64), work=(0.5, 0.5), multiple=16, penalty=1.2, overhead=0.1)

    assert stairs(0.0) == 1
    assert stairs(0.02) < 1  # 63 channels cost as much as 64, and are not aligned
    assert stairs(0.25) > max(float(stairs(s)) for s in np.linspace(0, 0.24, 50))


def test_few_settings_are_records_about_as_many_as_in_the_study():
    counts = []
    for seed in range(100):
        throughputs = staircase(seed)(VALUES)
        profile = ObjectiveProfile.measured(KNOB, zip(VALUES.tolist(), throughputs.tolist(), strict=True), 1.0)
        counts.append(len(profile.records()))

    # the study: 7 to 77 of 1248, median 27
    assert 20 <= np.median(counts) <= 40
    assert np.quantile(counts, 0.05) >= 3 and np.quantile(counts, 0.95) <= 90


def test_staircases_keep_the_accuracy_of_the_smooth_tasks():
    smooth, stepped = task(3, 7), stair_task(3, 7)

    assert stepped.crossing == smooth.crossing and stepped.reading(0.6) == smooth.reading(0.6)
    assert float(stepped.throughput(0.6)) != float(smooth.throughput(0.6))
