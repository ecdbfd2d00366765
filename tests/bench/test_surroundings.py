"""Memory, energy and steadiness: what stands beside the times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparisons import made

from condensa_core.bench import BenchTarget, InputRequest, examine, prepare
from condensa_core.bench.energy import joules_per_inference, meter_for
from condensa_core.bench.resident import resident_memory
from condensa_core.bench.steadiness import warnings_of


def test_a_larger_model_takes_more_memory_in_its_own_process(chain):
    taken = {}
    for size in (192, 2048):
        path = chain(4, size)
        feeds = prepare({"m": examine(path).inputs}, InputRequest()).feeds["m"]
        found = resident_memory(path, BenchTarget(), feeds)
        assert found is not None
        taken[size] = found.peak_bytes - found.before_bytes

    weights = 4 * 4 * 2048**2  # 64 MiB
    assert weights < taken[2048] - taken[192] < 3 * weights


@pytest.mark.parametrize(("runtime", "most"), [("onnxruntime", 2**21), ("openvino", 2**24)])
def test_what_a_runtime_takes_for_any_file_is_not_the_files(chain, runtime, most):
    path = chain(1)  # 0.15 MB; the runtimes themselves take 9 and 31 MiB at their first file
    feeds = prepare({"m": examine(path).inputs}, InputRequest()).feeds["m"]

    found = resident_memory(path, BenchTarget(runtime), feeds)

    assert 0 < found.peak_bytes - found.before_bytes < most


def test_a_file_that_does_not_run_has_no_memory(chain, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"broken")

    assert resident_memory(path, BenchTarget(), {"x": np.zeros((1, 4), np.float32)}) is None


def zone(folder, name, joules, full=1e3, of="package-0"):
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "name").write_text(f"{of}\n")
    (place / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
    (place / "max_energy_range_uj").write_text(f"{int(full * 1e6)}\n")


def test_energy_sums_packages_and_counts_on_when_a_counter_starts_again(tmp_path):
    zone(tmp_path, "intel-rapl:0", 990)
    zone(tmp_path, "intel-rapl:1", 10)
    zone(tmp_path, "intel-rapl:0:0", 500, of="core")  # a part of the first
    zone(tmp_path, "intel-rapl:2", 300, of="psys")  # the platform, of which the packages are parts
    meter = meter_for("cpu", rapl=tmp_path)
    used = iter([995, 5, 25])  # the second step passes 1000, where the counter starts again
    platform = iter([310, 330, 370])

    def run():
        zone(tmp_path, "intel-rapl:0", next(used))
        zone(tmp_path, "intel-rapl:2", next(platform), of="psys")

    before = meter.joules()
    run()
    assert meter.joules() - before == pytest.approx(5)
    run()
    assert meter.joules() - before == pytest.approx(15)
    run()
    assert meter.joules() - before == pytest.approx(35)


def test_energy_of_an_inference_is_the_share_of_one(tmp_path):
    zone(tmp_path, "intel-rapl:0", 0)
    done = []

    def run():
        done.append(None)
        zone(tmp_path, "intel-rapl:0", 2 * len(done), full=1e9)

    assert joules_per_inference(run, meter_for("cpu", rapl=tmp_path), least_s=0.01) == pytest.approx(2)


def test_no_counter_no_energy(tmp_path):
    assert meter_for("cpu", rapl=tmp_path) is None


@pytest.mark.parametrize(
    ("rounds", "stopped", "told"), [(5, "seconds", True), (6, "seconds", False), (5, "rounds", False)]
)
def test_time_that_allows_too_few_rounds_is_told(rounds, stopped, told):
    comparison = replace(made({"a": [1.0] * rounds}), stopped=stopped)

    warnings = list(warnings_of(comparison))

    assert warnings == ["5 rounds were all that the time allowed, and an interval takes 6: give more --seconds"] * told


def test_rounds_that_scatter_are_told():
    steady = made({"a": [1.0, 1.01, 1.0, 0.99]})
    loose = made({"a": [1.0, 1.3, 1.0, 0.7, 1.2], "b": [1.0] * 5})

    assert list(warnings_of(steady)) == []
    (warning,) = warnings_of(loose)
    assert warning.startswith("a varies by 20% (quartiles / median)")


@pytest.mark.parametrize(("streams", "seconds", "told"), [(2, 1e-4, True), (2, 3e-4, False), (1, 1e-4, False)])
def test_inferences_too_short_for_the_threads_of_streams_are_told(streams, seconds, told):
    comparison = replace(made({"a": [seconds] * 5}), target=BenchTarget(streams=streams))

    warnings = list(warnings_of(comparison))

    assert [warning.startswith("a takes 100 us alone, too short for streams") for warning in warnings] == [True] * told
