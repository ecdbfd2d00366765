"""Times of a device's own clock: their arithmetic and order, on a stand-in for a GPU."""

from __future__ import annotations

import gpu_stand_in
import pytest
from gpu_stand_in import DOWNLOAD_NS, LAUNCH_NS, NS_PER_BYTE, UPLOAD_NS

from condensa_core.bench import BenchTarget, compare
from condensa_core.bench.runner import RUNTIMES, Runtime

GPU = BenchTarget("stand-in", device="cuda", batch=2)


@pytest.fixture
def compared(chain, monkeypatch):
    """compared(name=products, ...): a comparison of chains on the stand-in, and the clocks it was timed by."""
    monkeypatch.setitem(RUNTIMES, "stand-in", Runtime("gpu_stand_in:GpuRunner", "onnx", "onnxruntime", ""))
    bench = gpu_stand_in.Bench()
    monkeypatch.setattr(gpu_stand_in, "BENCH", bench)

    def of(**products: int):
        files = {name: chain(count, 64) for name, count in products.items()}
        return compare(files, GPU, rounds=5, clock=bench.clock), {n: p.stat().st_size for n, p in files.items()}, bench

    return of


def test_ratios_are_of_device_time_and_wall_time_stands_beside(compared):
    comparison, sizes, _ = compared(one=1, three=3)

    found = comparison.measurement("three")
    assert found.clock == "device"
    assert not found.cpu_time
    assert comparison.ratio("one", "three").value == pytest.approx(sizes["three"] / sizes["one"], rel=1e-6)
    assert found.round_s == pytest.approx([sizes["three"] * 1e-9 * NS_PER_BYTE] * 5)
    assert all(wall > device for wall, device in zip(found.round_wall_s, found.round_s, strict=True))
    assert found.throughput_per_s == pytest.approx(2 / (sizes["three"] * 1e-9 * NS_PER_BYTE))
    # from asking to having, one by one: the launch is in it
    assert found.latency_s.p50 == pytest.approx(sizes["three"] * 1e-9 * NS_PER_BYTE + LAUNCH_NS * 1e-9, rel=1e-3)
    assert found.latency_s == found.latency_wall_s


def test_transfers_are_apart_and_after_the_timing(compared):
    comparison, _, bench = compared(one=1)

    moved = comparison.measurement("one").transfers
    assert moved.upload_s == pytest.approx(UPLOAD_NS * 1e-9, rel=1e-3)
    assert moved.download_s == pytest.approx(DOWNLOAD_NS * 1e-9, rel=1e-3)
    kinds = [call.split()[1] for call in bench.calls]
    last_timed = max(place for place, kind in enumerate(kinds) if kind == "device")
    assert "feed" not in kinds[:last_timed] and "outputs" not in kinds[:last_timed]
    assert kinds.index("run", kinds.index("feed")) < kinds.index("outputs")  # there is something to bring back


def test_a_round_is_one_stretch_as_long_as_a_sample(compared):
    _, sizes, bench = compared(one=1)

    stretches = [int(call.split()[2]) for call in bench.calls if " device " in call][-5:]
    assert len(set(stretches)) == 1
    device_s = stretches[0] * sizes["one"] * 1e-9 * NS_PER_BYTE
    assert 0.9 * 0.010 < device_s < 1.1 * 0.010  # the launch is in what was counted on
