"""Times of a device's own clock: their arithmetic and order, on a stand-in for a GPU."""

from __future__ import annotations

import gpu_stand_in
import pytest
import torch
from gpu_stand_in import DOWNLOAD_NS, LAUNCH_NS, NS_PER_BYTE, UPLOAD_NS

from condensa_core.bench import BenchTarget, compare
from condensa_core.bench.runner import RUNTIMES, Runtime
from condensa_core.bench.torch_runner import TorchRunner
from condensa_core.errors import UsageError
from condensa_core.flow.bench_baseline import saved_rounds

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


def test_events_of_torch_enclose_the_inferences_and_nothing_waits_between_them(monkeypatch):
    # given torch without a GPU, whose events say in which order they were asked
    asked: list[str] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            asked.append("record")

        def synchronize(self) -> None:
            asked.append("event reached")

        def elapsed_time(self, end: Event) -> float:
            return 2.5  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: asked.append("wait for all"))
    runner = TorchRunner.__new__(TorchRunner)
    runner._torch, runner._inputs, runner._call = torch, (), lambda: asked.append("inference")

    device_ns = runner._event_ns(3)

    assert device_ns == 2_500_000
    assert asked == ["record", "inference", "inference", "inference", "record", "event reached"]


FED = {"random": True, "arrays": {"m": {"x": {"type": "float32", "shape": [1, 3], "sha256": ""}}}}


def saved(**measured: object) -> dict:
    target = {"backend": "torch", "device": "cuda", "batch": 1, "threads": 1, "streams": 1}
    comparison = {"target": target, "scenario": "latency", "measurements": {"m": measured}, "inputs": FED}
    return {"comparisons": [comparison], "seed": 0}


def test_a_baseline_of_a_gpu_from_before_its_clock_was_asked_is_refused():
    target = BenchTarget("torch", device="cuda")

    assert saved_rounds(saved(round_s=[1.0], clock="device"), target, "latency", ["m"], FED, 0) == {"m": [1.0]}
    with pytest.raises(UsageError, match="does not say by which clock it was timed"):
        saved_rounds(saved(round_s=[1.0], cpu_time=False), target, "latency", ["m"], FED, 0)
