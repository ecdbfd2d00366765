"""What `condensa bench` adds: from its start to the first measurement, and to every timed inference.

    python benchmarks/bench_overhead.py --out benchmarks/results/bench_overhead.json

Start-up is that of the installed command on an ONNX file of 1 MB, until it says that measuring has started; wall time,
and processor time of the process, which is what an unloaded machine takes. The inference is one of a null session,
which returns at once: what remains is the runner's own call and the clocks around it, in processor time of the thread.

Exits with 1 unless the start takes less than 2 s (of processor time, where the load is above the number of cores) and
an inference less than 2 us.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import describe_machine
from condensa_core.bench.clock import SYSTEM_CLOCK, timed
from condensa_core.bench.onnxruntime_runner import OnnxRuntimeRunner
from condensa_core.bench.openvino_runner import OpenVinoRunner

STARTS = 9
MOST_START_S, MOST_INFERENCE_NS = 2.0, 2000.0
STRETCHES, RUNS = 50, 20_000


class Null:
    """A session of any runtime that computes nothing."""

    def run_with_iobinding(self, binding: object) -> None:
        pass

    def infer(self, *, share_inputs: bool, share_outputs: bool) -> None:
        pass


def write_megabyte(path: Path) -> None:
    """Four square products of 256: 1 MiB of weights."""
    generator = np.random.default_rng(0)
    weights = [numpy_helper.from_array(generator.random((256, 256), np.float32), f"w{i}") for i in range(4)]
    names = ["x", "h0", "h1", "h2", "y"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(4)],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 256])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def start(file: Path) -> tuple[float, float]:
    """Wall and processor seconds of one command until its first measurement."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "condensa_cli", "bench", str(file), "--seconds", "0.1", "--rounds", "3"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "bench: started" in line:
            wall_s, parent = time.perf_counter() - begun, psutil.Process(process.pid)
            times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]  # it works in a child
            process.communicate()
            return wall_s, sum(taken.user + taken.system for taken in times)
    raise RuntimeError("the command never started to measure")


def null_runner(kind: Any) -> Any:
    """A runner of that runtime without its session."""
    runner = kind.__new__(kind)
    runner._session = runner._request = Null()
    runner._binding = None
    return runner


def per_inference_ns(run: Callable[[], object]) -> dict[str, float]:
    """Of long stretches, as ratios are taken, and of single inferences, as latencies are: medians."""
    timed(run, RUNS, SYSTEM_CLOCK)
    stretches = [timed(run, RUNS, SYSTEM_CLOCK).cpu_s * 1e9 for _ in range(STRETCHES)]
    singles = [timed(run, 1, SYSTEM_CLOCK).cpu_s * 1e9 for _ in range(RUNS)]
    return {"stretch_ns": round(median(stretches), 1), "single_ns": round(median(singles), 1)}


def missed(wall_s: float, processor_s: float, busy: bool, overhead: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A sentence for each limit that does not hold; nobody's wall time counts on a machine that is `busy`."""
    start_s = processor_s if busy else wall_s
    found = [] if start_s < MOST_START_S else [f"the start takes {start_s:.2f} s, allowed are {MOST_START_S:g} s"]
    return found + [
        f"{name}: {ns:.0f} ns ({figure}), allowed are {MOST_INFERENCE_NS:g} ns"
        for name, figures in overhead.items()
        for figure, ns in figures.items()
        if not ns < MOST_INFERENCE_NS
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "megabyte.onnx"
        write_megabyte(file)
        size = file.stat().st_size
        starts = [start(file) for _ in range(STARTS)]
    wall, processor = median(w for w, _ in starts), median(p for _, p in starts)
    overhead = {
        "onnxruntime": per_inference_ns(null_runner(OnnxRuntimeRunner).run),
        "openvino": per_inference_ns(null_runner(OpenVinoRunner).run),
    }
    machine = describe_machine().to_json()
    print(
        f"start to first measurement ({size:,} bytes, {STARTS} starts): wall {wall:.2f} s, processor {processor:.2f} s"
    )
    for name, found in overhead.items():
        print(
            f"{name}: {found['stretch_ns']:.0f} ns per inference of a stretch, {found['single_ns']:.0f} ns of a single"
        )
    print(f"load average {machine['load_average'][0]:.1f} on {machine['cores_usable']} cores; {machine['cpu']}")
    if out:
        record = {
            "benchmark": "condensa bench: start to first measurement; own time per timed inference of a null session",
            "command": "python benchmarks/bench_overhead.py",
            "date": datetime.now(timezone.utc).date().isoformat(),
            "machine": machine,
            "model_bytes": size,
            "starts": {"count": STARTS, "wall_s": wall, "processor_s": processor, "all_s": starts},
            "overhead": {"stretches": STRETCHES, "runs": RUNS, **overhead},
        }
        out.write_text(json.dumps(record, indent=2) + "\n")
    busy = machine["load_average"][0] > machine["cores_usable"]
    misses = missed(wall, processor, busy, overhead)
    print("\n".join(misses) or "all within the limits")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
