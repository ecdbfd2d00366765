"""A measured objective is read with the interval of the figure that it is."""

import pytest

from condensa_core import flow  # noqa: F401 - its parts import each other through it
from condensa_core.bench import BenchTarget, Comparison, Measurement, describe_machine
from condensa_core.bench.statistics import quantiles
from condensa_core.flow.objective import REFERENCE, Objective
from condensa_core.randomness import Seed


def measured(name, single_s):
    values = [seconds for turn in single_s for seconds in turn]
    return Measurement(
        name=name, file=f"{name}.onnx", size_bytes=1, runtime="onnxruntime 1.31.1", provider="CPUExecutionProvider",
        rounds=len(single_s),
        runs=len(values), clock="processor", throughput_per_s=1 / values[0], latency_s=quantiles(values),
        latency_wall_s=quantiles(values), round_s=tuple(turn[0] for turn in single_s), round_wall_s=(),
        single_s=single_s, noise=1.0, load_s=0.1, first_inference_s=0.1,
    )  # fmt: skip


def objective(name):
    return Objective(name, "minimize", "", BenchTarget(), Seed())


def test_the_tail_has_an_interval_of_its_own():
    # every round twice as fast; a quarter of the candidate's rounds end with one slow inference of 4 s
    rounds = 40
    base = measured(REFERENCE, ((2.0, 2.0, 2.0, 2.0),) * rounds)
    mine = measured("best", tuple((1.0, 1.0, 1.0, 4.0 if i % 4 == 0 else 1.0) for i in range(rounds)))
    comparison = Comparison({REFERENCE: base, "best": mine}, BenchTarget(), describe_machine(), Seed(), "rounds")

    median, tail = (objective(f"latency.{q}").read(comparison, "best") for q in ("p50", "p99"))

    assert (median.value, median.ratio.low, median.ratio.high) == (1.0, 2.0, 2.0)
    assert (tail.value, tail.ratio.value) == (4.0, 0.5)
    # 10 of 40 rounds are slow: all but a resample in 10^5 has slow ones, so the slow tail is certain
    assert (tail.ratio.low, tail.ratio.high) == (0.5, 0.5)


def test_a_mean_that_wavers_is_wider_than_a_median_that_does_not():
    rounds = 40
    base = measured(REFERENCE, ((2.0, 2.0),) * rounds)
    mine = measured("best", tuple((1.0, 1.0 + 4.0 * (i == 3)) for i in range(rounds)))
    comparison = Comparison({REFERENCE: base, "best": mine}, BenchTarget(), describe_machine(), Seed(), "rounds")

    mean = objective("latency.mean").read(comparison, "best")

    assert mean.value == pytest.approx(1.05) and mean.ratio.value == pytest.approx(2 / 1.05)
    # a resample has 0, or by 2 and 8 %, at least 4 and 3 copies of the slow round (binomial): 4 s more each, of 80
    assert mean.ratio.high == pytest.approx(2.0) and 2 / 1.201 < mean.ratio.low < 2 / 1.149
