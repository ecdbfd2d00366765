"""LeNet-300 on Fashion-MNIST by L-C with condensa's defaults, beside direct compression retrained for as many epochs.

    python benchmarks/lenet300.py --reference REFERENCE.pt --journal RUNS.jsonl --out benchmarks/results/lenet300.json

The protocol is that of the LC library's baseline (784-300-100-10 ReLU, mean image subtracted, all 60,000 training
images, batch 256, L steps of 3 epochs from lr 0.05 with momentum 0.9 restarted in each, 63 epochs in all), whose
figures, one seed each with hand-made schedules of mu, stand in the result as `peer`. Here mu and weight decay are
condensa's defaults, and L steps take 57 of the 63 epochs, fine-tuning at fixed structure the other 6, for every case
alike. The control spends all 63 on fine-tuning the direct compression. Nothing is selected by test error. Every case
and seed is one line of the journal; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from condensa_core.bench import describe_machine
from condensa_core.export import export_onnx
from condensa_core.export.packing import pack_onnx
from condensa_core.learning import Learned, Settings, compress, compress_directly, finetune
from condensa_core.materialise.factor import factored
from condensa_core.randomness import Seed
from condensa_core.schemes import (
    Codebook,
    LowRank,
    Part,
    Plain,
    Prune,
    Scheme,
    Sum,
    counted_bits,
    factors_of,
    moved_terms,
)
from condensa_core.workload import TOP1, Score, TensorBatches, evaluate, read_state
from condensa_core.workload.datasets.fashion_mnist import DEBIAN_FOLDER
from condensa_core.workload.datasets.idx import read_idx

EPOCHS = 63
STEPS = 18  # (18 + 1 for the first, which is twice as long) x 3 epochs = 57, and 6 of fine-tuning
BATCH = 256
DENSE_FLOPS = 784 * 300 + 300 * 100 + 100 * 10


@dataclass(frozen=True)
class Case:
    """What is done to the three weight matrices, jointly or one by one, and what the LC library reached with it."""

    title: str
    scheme: Scheme
    jointly: bool
    peer: dict[str, float]


CASES = {
    "prune": Case(
        "l0, 5 % of all weights",
        Prune(sparsity=0.95),
        True,
        {"error": 10.84, "ratio": 16.09, "its control": 11.77},
    ),
    "codebook": Case(
        "code book of 2 in each layer",
        Codebook(2),
        False,
        {"error": 11.99, "ratio": 30.52, "its control": 23.30},
    ),
    "lowrank": Case(
        "ranks selected for FLOPs",
        LowRank(select="flops", budget=1 / 2.98),
        True,
        {"error": 10.74, "ratio": 2.97, "its control": 10.65},
    ),
    "codebook+corrections": Case(
        "code book of 2 in each layer + 1 % corrections",
        Sum((Codebook(2), Prune(sparsity=0.99))),
        False,
        {"error": 10.81, "ratio": 21.78},
    ),
    "codebook+lowrank+corrections": Case(
        "code book of 2 + rank 1 + 1 % corrections in each layer",
        Sum((Codebook(2), LowRank(rank=1), Prune(sparsity=0.99))),
        False,
        {},
    ),
}


def lenet300(path: Path) -> nn.Module:
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    state = read_state(path)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model


def fashion_mnist(folder: Path) -> Any:
    """(images, targets) to train on and to test on."""
    splits = []
    for prefix in ("train", "t10k"):
        images = torch.from_numpy(read_idx(folder / f"{prefix}-images-idx3-ubyte.gz").copy())
        targets = torch.from_numpy(read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz").copy())
        splits.append((images.flatten(1).float() / 255, targets.long()))
    centre = splits[0][0].mean(0)
    return tuple((images - centre, targets) for images, targets in splits)


def error_percent(model: nn.Module, batches: TensorBatches) -> float:
    return 100 * (1 - evaluate(model, batches, [TOP1]).scores["top1"].value)


def run(case: Case, reference: nn.Module, data: Any, seed: int) -> dict[str, Any]:
    """One seed of one case, and its control."""
    (images, targets), held = data
    train = TensorBatches(images, targets, batch=BATCH, seed=Seed(seed), training=True)
    # The protocol trains on all images, so nothing unseen is left to select by; the last iterate is as good.
    select = TensorBatches(images[:10_000], targets[:10_000], batch=1000)
    test = TensorBatches(*held, batch=1000)
    names = tuple(name for name, p in reference.named_parameters() if p.ndim > 1)
    parts = [Part(names, case.scheme)] if case.jointly else [Part((name,), case.scheme) for name in names]

    def judge(model: nn.Module) -> Score:
        return evaluate(model, select, [TOP1]).scores["top1"]

    settings = Settings(
        steps=STEPS,
        lr=0.05,
        iterations=3 * train.steps,
        finetune_iterations=(EPOCHS - 3 * (STEPS + 1)) * train.steps,
        finetune_lr=0.02,
        patience=STEPS + 1,  # the whole budget, as the baseline
    )
    retrain = replace(settings, finetune_iterations=EPOCHS * train.steps, finetune_lr=0.05)
    begun, wall = time.process_time(), time.monotonic()
    learned = compress(reference, parts, train, cross_entropy, judge, settings, seed=Seed(seed))
    tuned = tuned_at_fixed_structure(learned, train, judge, settings, seed)
    spent = time.process_time() - begun, time.monotonic() - wall
    direct = compress_directly(reference, parts, train, judge)
    control = tuned_at_fixed_structure(direct, train, judge, retrain, seed)
    return {
        "direct_error": error_percent(direct.model, test),
        "lc_error": error_percent(learned.model, test),
        "error": error_percent(tuned, test),
        "control_error": error_percent(control, test),
        "cpu_s": round(spent[0], 1),
        "wall_s": round(spent[1], 1),
        **sizes(learned, tuned, images[:2]),
    }


def tuned_at_fixed_structure(
    learned: Learned, train: TensorBatches, judge: Callable[[nn.Module], Score], settings: Settings, seed: int
) -> nn.Module:
    """Fine-tuned with masks, assignments and ranks as they are; layers of low rank as the two that stand for them."""
    factors = {name: f for code in learned.codes for name, f in factors_of(code).items()}
    model = learned.model
    if factors:
        example = torch.zeros(2, 784)
        model = factored(model, factors, (example,)).model
    there = {name for name, _ in model.named_parameters()}
    freedoms = []
    for code in learned.codes:
        free = code.freedom()
        freedoms.append(replace(free, labels={name: label for name, label in free.labels.items() if name in there}))
    return finetune(model, freedoms, train, cross_entropy, judge, settings, seed=Seed(seed))[0]


def sizes(learned: Learned, tuned: nn.Module, images: torch.Tensor) -> dict[str, Any]:
    """Of the whole model: ratios by the codes' bits, by multiply-accumulates, and of the files on disk."""
    after = dict(tuned.named_parameters())
    before = dict(learned.model.named_parameters())
    dense = 32 * sum(p.numel() for p in before.values())
    biases = 32 * sum(p.numel() for p in before.values() if p.ndim == 1)
    terms = {}
    for code in learned.codes:
        decoded = code.decode()
        if all(name in after for name in decoded):
            moves = {name: after[name].detach() - tensor for name, tensor in decoded.items()}
            terms |= {
                name: pieces
                for name, pieces in moved_terms(code, moves).items()
                if len(pieces) > 1 or not isinstance(pieces[0], Plain)
            }
    with tempfile.TemporaryDirectory() as folder:
        reference = export_onnx(learned.model, (images,), Path(folder) / "dense.onnx")
        file = export_onnx(tuned, (images,), Path(folder) / "model.onnx")
        packed = pack_onnx(file.path, Path(folder) / "model.packed.onnx", terms)
    flops = sum(p.numel() for p in after.values() if p.ndim > 1)
    return {
        "ratio_by_bits": dense / (biases + sum(code.bits() for code in learned.codes)),
        "ratio_as_papers_count": dense / (biases + sum(counted_bits(code) for code in learned.codes)),
        "ratio_of_flops": DENSE_FLOPS / flops,
        "fp32_onnx_bytes": reference.size_bytes,
        "packed_bytes": packed.size_bytes,
        "ratio_on_disk": reference.size_bytes / packed.size_bytes,
    }


def summary(rows: Sequence[dict[str, Any]], data: Any, reference: nn.Module) -> dict[str, Any]:
    """What the journal says, case by case."""
    cases = {}
    for name, case in CASES.items():
        mine = [row for row in rows if row["case"] == name]
        if not mine:
            continue
        errors = [row["error"] for row in mine]
        figures = [key for key in mine[0] if key not in ("case", "seed")]
        cases[name] = {
            "what": case.title,
            "seeds": [row["seed"] for row in mine],
            "mean": {key: round(mean(row[key] for row in mine), 3) for key in figures},
            "standard_deviation_of_error": round(stdev(errors), 3) if len(errors) > 1 else None,
            "peer": case.peer,
            "runs": mine,
        }
    return {
        "benchmark": "LeNet-300, Fashion-MNIST, 63 epochs; errors in percent of the test set",
        "command": "python benchmarks/lenet300.py --reference REFERENCE.pt",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine().to_json(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "reference_error": error_percent(reference, TensorBatches(*data[1], batch=1000)),
        "test_standard_error": 0.3,
        "cases": cases,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="state_dict of the trained LeNet-300")
    parser.add_argument("--data", type=Path, default=DEBIAN_FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--journal", type=Path, required=True, help="a line for each case and seed; read first")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reference, data = lenet300(options.reference), fashion_mnist(options.data)
    rows = []
    if options.journal.is_file():
        rows = [json.loads(line) for line in options.journal.read_text().splitlines()]
    done = {(row["case"], row["seed"]) for row in rows}
    for seed in options.seeds:
        for name in options.cases:
            if (name, seed) in done:
                continue
            rows.append({"case": name, "seed": seed, **run(CASES[name], reference, data, seed)})
            with options.journal.open("a") as journal:
                journal.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(summary(rows, data, reference), indent=2) + "\n")


if __name__ == "__main__":
    main()
