"""Whether `condensa bench` reports what others measure: ONNX Runtime in a plain loop, OpenVINO by its benchmark_app.

    python benchmarks/bench_agreement.py --out benchmarks/results/bench_agreement.json

Five models (a VGG, ResNet-20, an MLP, an LSTM, a transformer), batch 1, one thread, float32. The two ways take turns;
the figure is the median over the rounds of condensa's latency over the other's, in processor time: other work on the
machine makes wall times of separate moments incomparable. ONNX Runtime: the median of single calls of `session.run`,
timed one by one. OpenVINO: the process of benchmark_app for many inferences less that for few. That holds its
book-keeping, which its own latencies leave out: what it spends on a product of two numbers beyond condensa's figure for
that, some microseconds, is taken off and on record. The wall times that benchmark_app prints are on record too.

ONNX Runtime besides with two threads, in wall time, against a session with no option but their number: that row means
something only where nothing else runs. Exits with 1 unless all rows are within 5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime
import torch
from torch import nn

from condensa_core.bench import BenchTarget, InputRequest, compare, describe_machine, examine, prepare
from condensa_core.export import export_onnx
from condensa_core.workload import zoo_model

ROUNDS = 3
LOOP_S = 1.0  # of condensa, and of the plain loop
APP_S = 1.0  # of benchmark_app, many inferences; few are a tenth
LIMIT = 0.05


class Vgg(nn.Sequential):
    """Six convolutions and two linear layers on 32 x 32 pixels."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        before = 3
        for width in (64, 64, 128, 128, 256, 256):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            if width != before and before != 3:
                layers.append(nn.MaxPool2d(2))
            before = width
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 10)]
        super().__init__(*layers)


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 256, num_layers=2, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Transformer(nn.Module):
    """Four pre-norm blocks of width 256, four heads, over 32 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({
                "first": nn.LayerNorm(256), "qkv": nn.Linear(256, 768), "out": nn.Linear(256, 256),
                "second": nn.LayerNorm(256), "up": nn.Linear(256, 1024), "down": nn.Linear(1024, 256),
            })
            for _ in range(4)
        )  # fmt: skip
        self.head = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            q, k, v = block["qkv"](block["first"](x)).unflatten(-1, (3, 4, 64)).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + block["out"](mixed.transpose(1, 2).flatten(2))
            x = x + block["down"](nn.functional.gelu(block["up"](block["second"](x))))
        return self.head(x.mean(1))


def models() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """The five, with the shape of one sample; random weights, on which speed does not depend."""
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    return {
        "vgg": (Vgg(), (3, 32, 32)),
        "resnet20": (zoo_model("resnet20", 10, (3, 32, 32), {}), (3, 32, 32)),
        "mlp": (mlp, (784,)),
        "lstm": (Lstm(), (32, 64)),
        "transformer": (Transformer(), (32, 256)),
    }


@dataclass(frozen=True)
class Latency:
    """Of one inference, in seconds."""

    processor: float  # median, or mean of benchmark_app
    wall: float  # median
    shortest: float  # wall


def condensa_s(file: Path, runtime: str, threads: int = 1) -> Latency:
    """The latency of single inferences that condensa reports; with several threads, in wall time both."""
    target = BenchTarget(runtime, threads=threads)
    measured = compare({"m": file}, target, seconds=LOOP_S, rounds=100).measurement("m")
    assert measured.cpu_time == (threads == 1)
    return Latency(measured.latency_s.p50, measured.latency_wall_s.p50, measured.latency_wall_s.min)


def loop_s(file: Path, threads: int = 1) -> Latency:
    """The same of calls of `session.run`, by the shortest program that times them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feeds = dict(prepare({"m": examine(file).inputs}, InputRequest(batch=1)).feeds["m"])
    processor, wall = [], []
    end = time.perf_counter() + LOOP_S
    for _ in range(10):
        session.run(None, feeds)
    while time.perf_counter() < end:
        begun, at = time.perf_counter_ns(), time.thread_time_ns()
        session.run(None, feeds)
        processor.append(time.thread_time_ns() - at)
        wall.append(time.perf_counter_ns() - begun)
    return Latency(median(processor) / 1e9, median(wall) / 1e9, min(wall) / 1e9)


def app_s(file: Path, shape: tuple[int, ...], latency_s: float) -> Latency:
    """Of benchmark_app: what it prints, and the processor time of its process for many inferences less that for few."""
    name = examine(file).inputs[0].name
    sizes = ",".join(map(str, (1, *shape)))
    many = max(100, int(APP_S / latency_s))
    spent, told = [], ""
    for runs in (many // 10, many):
        command = [
            str(Path(sys.executable).with_name("benchmark_app")), "-m", str(file), "-d", "CPU", "-api", "sync",
            "-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32",
            "-shape", f"{name}[{sizes}]", "-niter", str(runs),
        ]  # fmt: skip
        before = os.times()
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    printed = re.findall(r"(Median|Min): +([\d.]+) (ms|us)", told)
    shown = {label: float(value) / {"ms": 1e3, "us": 1e6}[unit] for label, value, unit in printed}
    return Latency((spent[1] - spent[0]) / (many - many // 10), shown["Median"], shown["Min"])


def exported(model: nn.Module, shape: tuple[int, ...], file: Path) -> Path:
    export_onnx(model.eval(), (torch.randn(2, *shape),), file)
    return file


def book_keeping_s(folder: Path) -> float:
    """Processor time that benchmark_app spends on an inference besides inferring."""
    file = exported(nn.Linear(1, 1), (1,), folder / "linear.onnx")
    ours = condensa_s(file, "openvino").processor
    return median(app_s(file, (1,), APP_S / 10_000).processor for _ in range(3)) - ours


def agreement(
    name: str, file: Path, shape: tuple[int, ...], runtime: str, threads: int, rounds: int, extra_s: float
) -> dict[str, Any]:
    """The two ways in turns; `extra_s` of processor time is taken off the other's."""
    pairs = []
    for _ in range(rounds):
        ours = condensa_s(file, runtime, threads)
        pairs.append((ours, loop_s(file, threads) if runtime == "onnxruntime" else app_s(file, shape, ours.processor)))
    clock = clock_of(threads)
    ratios = [getattr(ours, clock) / (getattr(theirs, clock) - extra_s) for ours, theirs in pairs]
    return {
        "model": name,
        "runtime": runtime,
        "threads": threads,
        "clock": clock,
        "against": "session.run loop" if runtime == "onnxruntime" else "benchmark_app",
        "ratio": median(ratios),
        "ratios": sorted(ratios),
        "agrees": abs(median(ratios) - 1) <= LIMIT,
        "rounds": [[asdict(ours), asdict(theirs)] for ours, theirs in pairs],
    }


def clock_of(threads: int) -> str:
    """That of the figures which are compared."""
    return "processor" if threads == 1 else "wall"


def outcome(rows: Sequence[Mapping[str, Any]]) -> int:
    """The exit code: 1 where a figure is further off than the limit, or where there is none."""
    return 0 if rows and all(row["agrees"] for row in rows) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", nargs="*", default=list(models()))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        extra_s = book_keeping_s(Path(folder))
        print(f"benchmark_app spends {1e6 * extra_s:.1f} us of processor time on an inference besides", flush=True)
        for name in asked.models:
            model, shape = models()[name]
            file = exported(model, shape, Path(folder) / f"{name}.onnx")
            for runtime, threads in (("onnxruntime", 1), ("onnxruntime", 2), ("openvino", 1)):
                taken_off_s = extra_s if runtime == "openvino" else 0.0
                row = agreement(name, file, shape, runtime, threads, asked.rounds, taken_off_s)
                rows.append(row)
                ours_ms, theirs_ms = (
                    1e3 * median(pair[side][row["clock"]] for pair in row["rounds"]) for side in (0, 1)
                )
                print(
                    f"{name:12} {runtime:12} {threads} thread{'s' if threads > 1 else ' '} {ours_ms:8.3f} ms  "
                    f"{row['against']:17} {theirs_ms:8.3f} ms  "
                    f"ratio {row['ratio']:.3f}  {'within' if row['agrees'] else 'BEYOND'} 5 %",
                    flush=True,
                )
            if asked.out:
                record = {
                    "benchmark": "latency by condensa bench over that by others, batch 1, in the time of clock",
                    "command": "python benchmarks/bench_agreement.py",
                    "date": datetime.now(timezone.utc).date().isoformat(),
                    "machine": describe_machine().to_json(),
                    "book_keeping_s": extra_s,
                    "rows": rows,
                }
                asked.out.write_text(json.dumps(record, indent=2) + "\n")
    machine = describe_machine()
    agreeing = sum(row["agrees"] for row in rows)
    print(f"{agreeing} of {len(rows)} within 5 %; load average {machine.load_average[0]:.1f}; {machine.cpu}")
    return outcome(rows)


if __name__ == "__main__":
    sys.exit(main())
