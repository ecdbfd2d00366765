"""int8 activations: what they do to the speed, size and accuracy of an ONNX file on this machine's processor.

    python benchmarks/integer_activations.py --out benchmarks/results/integer_activations.json

Every case is one run of a recipe that rounds all weights of a trained model directly, without any training, so that
nothing but the rounding differs: ratios of throughput are those of the run's own conclusion, in turns with the
reference on one thread; accuracy is that of the files on the test split. References are trained once and cached; those
of other widths, which are there for their speed alone, for one epoch.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from condensa_core import flow
from condensa_core.bench import describe_machine
from condensa_core.recipe import read_recipe_text
from condensa_core.report import Outcome

RECIPE = """
condensa: 1
name: integers
model: {{builtin: {model}, args: {{{args}}}}}
data: {{builtin: {data}}}
reference: {{train: {{{train}}}}}
layers: [{{match: all, scheme: {{quantize: {{granularity: channel, {settings}}}}}}}]
compress: {{method: direct, metric: identity}}
constraint: {{metric: top1, at_least: 0.01}}
objective: {{maximize: throughput}}
targets: {{cpu: {{batch: {batch}, threads: 1}}}}
search: {{method: none}}
output: {{export: [onnx, packed]}}
"""
INT8 = "dtype: int8, activations: int8"
CASES = {
    "int8, observer mse": (INT8, 32),
    "int8, observer max": (f"{INT8}, observer: max", 32),
    "int8, observer percentile": (f"{INT8}, observer: percentile", 32),
    "int8, observer entropy": (f"{INT8}, observer: entropy", 32),
    "int7": ("dtype: int7, activations: int8", 32),
    "int4": ("dtype: int4, range: mse, activations: int8", 32),
    "int8, weights alone": ("dtype: int8", 32),
    "int8, batch 1": (INT8, 1),
}
WIDTHS = (4, 8, 16, 64)  # filters of the first layers of small-cnn, four times as many in the last; 32 is the default


@dataclass(frozen=True)
class Network:
    model: str
    data: str
    args: str = ""
    train: str = ""


NETWORKS = {
    "small-cnn, digits": Network("small-cnn", "digits"),
    "small-cnn, Fashion-MNIST": Network("small-cnn", "fashion-mnist"),
    "lenet300, Fashion-MNIST": Network("lenet300", "fashion-mnist"),
} | {f"small-cnn of width {w}, digits": Network("small-cnn", "digits", f"width: {w}", "epochs: 1") for w in WIDTHS}


def case(network: Network, settings: str, batch: int) -> dict[str, Any]:
    text = RECIPE.format(**asdict(network), settings=settings, batch=batch)
    with tempfile.TemporaryDirectory() as out:
        return row(flow.run(read_recipe_text(text, "benchmark"), out=Path(out)))


def row(outcome: Outcome) -> dict[str, Any]:
    best, reference = outcome.best, outcome.reference
    assert best is not None and best.ratio is not None
    return {
        "throughput_ratio": [best.ratio.value, best.ratio.low, best.ratio.high],
        "wall_over_cpu": best.measurement["noise"],
        "bytes": best.bytes,
        "packed_bytes": outcome.sizes.packed,
        "reference_bytes": reference.bytes,
        "test_accuracy": best.metrics["test"]["top1"].value,
        "reference_accuracy": reference.metrics["test"]["top1"].value,
        "agreement": best.agreement["test"].value,
        "difference": outcome.integers.timed.max_rel if outcome.integers else None,
        "unfused": outcome.integers.unfused.max_rel if outcome.integers else None,
        "layers": len(outcome.integers.layers) if outcome.integers else 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    for name in options.models:
        rows[name] = {}
        for title, (settings, batch) in CASES.items():
            if settings != INT8 and NETWORKS[name].train:
                continue
            rows[name][title] = case(NETWORKS[name], settings, batch)
            print(json.dumps({"model": name, "case": title, **rows[name][title]}), flush=True)
    result = {
        "benchmark": "int8 activations on one thread, weights rounded without training; judged on the test split",
        "command": "python benchmarks/integer_activations.py",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine().to_json(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "models": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
