"""Several inferences at once: that they are at once, that none is lost, and that each computes the same."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from condensa_core.bench import (
    BenchTarget,
    InputRequest,
    compare,
    examine,
    memory,
    open_runner,
    prepare,
    require_present,
)
from condensa_core.bench.clock import Clock
from condensa_core.bench.energy import Meter
from condensa_core.bench.streams import Streams
from condensa_core.bench.stretch import stretch_of
from condensa_core.errors import MachineError, UsageError
from condensa_core.flow import bench_surroundings

RUNTIMES_OF_SEVERAL = ("onnxruntime", "openvino")


def test_the_streams_compute_at_the_same_time():
    # given calls that wait for each other: one after another, the first would never end
    together = threading.Barrier(3, timeout=10)
    streams = Streams([together.wait] * 3)

    streams.run(6)

    streams.close()
    assert together.n_waiting == 0


@pytest.mark.parametrize("runs", [1, 2, 3, 50])
def test_every_inference_is_made_once_and_every_stream_works(runs):
    counts = [0, 0, 0]

    def call(stream: int):
        def count() -> None:
            counts[stream] += 1

        return count

    streams = Streams([call(stream) for stream in range(3)])
    streams.run(runs)
    streams.close()

    assert sum(counts) == runs
    assert sum(count > 0 for count in counts) == min(runs, 3)


def test_what_one_stream_raises_is_raised_when_all_have_ended():
    ended = threading.Event()

    def wrong() -> None:
        raise RuntimeError("no such operator")

    def slow() -> None:
        threading.Event().wait(0.05)
        ended.set()

    streams = Streams([wrong, slow])

    with pytest.raises(RuntimeError, match="no such operator"):
        streams.run(2)

    assert ended.is_set()
    streams.close()


@pytest.mark.parametrize("runtime", RUNTIMES_OF_SEVERAL)
def test_every_stream_computes_what_one_does_on_what_it_is_fed(runtime, chain):
    path = chain(3, 16)
    request = InputRequest(batch=5)
    first, second = ({"x": factor * prepare({"m": examine(path).inputs}, request).feeds["m"]["x"]} for factor in (1, 2))
    with open_runner(BenchTarget(runtime, batch=5), path, second) as alone:
        alone.run()
        expected = alone.outputs()

    with open_runner(BenchTarget(runtime, batch=5, streams=2), path, first) as runner:
        runner.run_streams(4)
        runner.feed(second)
        runner.run_streams(4)
        found = [runner.outputs(stream) for stream in range(2)]

    for outputs in found:
        assert list(outputs) == list(expected)
        np.testing.assert_array_equal(outputs["y"], expected["y"])


def test_a_stretch_of_streams_is_divided_by_the_inferences_of_all():
    wall = [0]

    class Three:
        """Three streams, each of which takes 6 ms for an inference."""

        def run_streams(self, runs: int) -> None:
            wall[0] += -(-runs // 3) * 6_000_000

        def outputs(self, stream: int = 0):
            return {}

    timing = stretch_of(Three(), BenchTarget(streams=3), Clock(lambda: wall[0], lambda: 0))(30)

    assert timing.runs == 30
    assert timing.wall_s == pytest.approx(0.002)


def test_energy_is_of_one_inference_while_all_streams_work(chain, monkeypatch):
    made = []

    def sixteen_joules(run, meter) -> float:
        made.append(run)
        run()
        return 16.0

    monkeypatch.setattr(bench_surroundings, "meter_for", lambda device: Meter("stand-in", float))
    monkeypatch.setattr(bench_surroundings, "joules_per_inference", sixteen_joules)
    feeds = {"m": {"x": np.zeros((1, 192), np.float32)}}

    alone, together = (
        bench_surroundings.energy_of({"m": chain(2)}, BenchTarget(streams=streams), feeds) for streams in (1, 2)
    )

    assert len(made) == 2
    assert alone["joules"] == {"m": 16.0}
    assert together["joules"] == {"m": 1.0}  # of two streams, eight inferences each


@pytest.mark.parametrize("runtime", RUNTIMES_OF_SEVERAL)
def test_throughput_of_streams_counts_all_of_them_on_the_wall(runtime, chain):
    comparison = compare({"a": chain(4), "b": chain(8)}, BenchTarget(runtime, batch=4, streams=2), rounds=3)

    found = comparison.measurement("a")
    assert found.clock == "wall"
    assert found.round_s == found.round_wall_s
    assert found.throughput_per_s == pytest.approx(4 / sorted(found.round_s)[1])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            BenchTarget("torch", streams=2),
            "torch on the cpu is measured in one stream; several run",
        ),
        (BenchTarget("onnxruntime", device="cuda", streams=2), "onnxruntime on the cuda is measured in one stream"),
        (BenchTarget("tensorrt-rtx", device="cuda", streams=2), "tensorrt-rtx on the cuda is measured in one stream"),
    ],
)
def test_a_runtime_of_one_stream_says_so(target, message, chain):
    with pytest.raises(UsageError, match=message):
        open_runner(target, chain(2), {})


def test_openvino_says_how_many_streams_it_has(chain):
    asked = 1 + (os.cpu_count() or 1)
    with pytest.raises(MachineError, match=rf"OpenVINO runs no more than \d+ streams on this machine, asked {asked}"):
        open_runner(BenchTarget("openvino", streams=asked), chain(2), {"x": np.zeros((1, 192), np.float32)})


@pytest.mark.parametrize("streams", [1, 2])
def test_openvino_says_how_many_threads_it_has(streams, chain):
    pytest.importorskip("openvino")
    cores = os.cpu_count() or 1
    if streams > cores:
        pytest.skip("one core, one stream")
    target = BenchTarget("openvino", streams=streams, threads=4 * cores // streams)
    message = rf"OpenVINO runs no more than \d+ threads on this machine, asked {target.threads * streams}"

    with pytest.raises(MachineError, match=message):
        open_runner(target, chain(2), {"x": np.zeros((1, 192), np.float32)})
    with pytest.raises(MachineError, match=message):  # before there is a model
        require_present(target)


def test_openvino_has_what_the_machine_has():
    pytest.importorskip("openvino")

    require_present(BenchTarget("openvino", threads=1))
    if (os.cpu_count() or 1) > 1:
        require_present(BenchTarget("openvino", streams=2))


def test_threads_without_end_are_refused_before_there_is_a_model():
    with pytest.raises(UsageError, match="4 for each core of this machine"):
        require_present(BenchTarget("onnxruntime", threads=10_000))


def test_inputs_of_all_streams_must_fit_into_memory(chain, monkeypatch):
    feeds = {"m": {"x": np.zeros((2000, 192), np.float32)}}  # 1.5 MB
    monkeypatch.setattr(memory, "available_bytes", lambda: 5_000_000)

    def measured(streams):
        return compare({"m": chain(1)}, BenchTarget(batch=2000, streams=streams), feeds=feeds, rounds=3, seconds=0.01)

    assert measured(2).measurements
    with pytest.raises(MachineError, match="the inputs of 5 streams would take about 0"):
        measured(5)
