"""Whether `condensa bench` can be believed while others use the machine: what it says of a copy, and of 10 % more work.

    python benchmarks/bench_truth.py --journal /tmp/truth.jsonl --out benchmarks/results/bench_truth.json

Each run is a command of its own on three files: a chain of 20 matrix products, the same bytes under another name, and
a chain of 22. Meanwhile one process for each core multiplies matrices without a pause. Of 100 runs at least 95 should
call the copy no different and the longer chain slower. About 6 s a run; a journal that exists is continued. One thread
is timed by its processor time, which load disturbs little; --threads 2 shows what wall time is worth under the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import describe_machine

SIZE, PRODUCTS, MORE = 192, 20, 22
SAME, SLOWER = "not distinguishable", "slower"


def write_chain(path: Path, products: int) -> None:
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((generator.standard_normal((SIZE, SIZE)) / SIZE**0.5).astype(np.float32), f"w{i}")
        for i in range(products)
    ]
    names = ["x", *(f"h{i}" for i in range(products - 1)), "y"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(products)],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", SIZE])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def multiply(core: int) -> None:
    """Keeps a core busy, and its caches."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    a = np.random.default_rng(core).standard_normal((384, 384)).astype(np.float32)
    while os.getppid() != 1:  # ends when whoever started it is gone
        np.tanh(a @ a, out=a)


@contextmanager
def load(processes_per_core: int) -> Iterator[None]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=multiply, args=(c,), daemon=True) for c in cores for _ in range(processes_per_core)]
    for process in busy:
        process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def measured(files: list[Path], seconds: float, threads: int, seed: int) -> dict[str, Any]:
    """One command: the verdict and the interval of the copy and of the longer chain, both against the first file."""
    options = ["--seconds", str(seconds), "--threads", str(threads), "--seed", str(seed)]
    options += ["--no-memory", "--json", "--quiet"]
    command = [sys.executable, "-m", "condensa_cli", "bench", *map(str, files), *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    (comparison,) = json.loads(answer.stdout)["comparisons"]
    return {
        "copy": comparison["ratios"]["copy.onnx"],
        "more": comparison["ratios"]["more.onnx"],
        "rounds": comparison["measurements"]["base.onnx"]["rounds"],
        "noise": comparison["measurements"]["base.onnx"]["noise"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0, help="measuring time per file")
    parser.add_argument("--load", type=int, default=1, help="busy processes per core")
    parser.add_argument("--threads", type=int, default=1, help="of the runtime; several are timed on the wall")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    done = [json.loads(line) for line in asked.journal.read_text().splitlines()] if asked.journal.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.onnx" for name in ("base", "copy", "more")]
        write_chain(files[0], PRODUCTS)
        shutil.copy(files[0], files[1])
        write_chain(files[2], MORE)
        with load(asked.load), asked.journal.open("a") as journal:
            for seed in range(len(done), asked.runs):
                done.append(measured(files, asked.seconds, asked.threads, seed))
                journal.write(json.dumps(done[-1]) + "\n")
                journal.flush()
    same = sum(run["copy"]["verdict"] == SAME for run in done)
    slower = sum(run["more"]["verdict"] == SLOWER for run in done)
    noise = float(np.median([run["noise"] for run in done]))
    print(f"an identical copy: {SAME} in {same} of {len(done)}, ratios {spread(done, 'copy')}")
    print(f"10 % more work: {SLOWER} in {slower} of {len(done)}, ratios {spread(done, 'more')}")
    print(f"{asked.load} busy process(es) per core: {noise:.2f} s of wall for 1 s of processor time")
    if asked.out:
        record = {
            "benchmark": "verdicts of condensa bench on a copy and on 10 % more work, under load",
            "command": f"python benchmarks/bench_truth.py --runs {asked.runs} --seconds {asked.seconds:g} "
            f"--load {asked.load}" + (f" --threads {asked.threads}" if asked.threads > 1 else ""),
            "date": datetime.now(timezone.utc).date().isoformat(),
            "machine": describe_machine().to_json(),
            "threads": asked.threads,
            "runs": len(done),
            "copy_not_distinguishable": same,
            "more_slower": slower,
            "noise_median": noise,
            "all": done,
        }
        asked.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if min(same, slower) >= 0.95 * len(done) else 1


def spread(done: list[dict[str, Any]], which: str) -> str:
    low, median, high = np.percentile([run[which]["value"] for run in done], [2.5, 50, 97.5])
    return f"{median:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
