"""How many channels each layer keeps: four rules at the same MACs, directly compressed, then fine-tuned.

    python benchmarks/channel_allocation.py --out benchmarks/results/channel_allocation.json

The model and data of recipes/fashion-mnist-filters.yaml (six convolutions, Fashion-MNIST); every rule's sparsity is set
so that the reference has 7 times the MACs of what is left. Rules: one threshold on l2 norms divided by their layer's
root mean square, and the gain n^a log(retained share) with a = 0 (equal counts), 1/2 (condensa's default) and 1
(equal fractions). Accuracy in percent on validation and test after fine-tuning; a difference has a standard error
of 0.2.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.bench import describe_machine
from condensa_core.criteria import share_gained
from condensa_core.flow.effort import settings_for
from condensa_core.flow.workbench import Workbench, bound, trained
from condensa_core.graph import count_macs
from condensa_core.learning import finetune, recalibrate_batchnorm
from condensa_core.materialise import shrink
from condensa_core.randomness import Seed
from condensa_core.recipe import read_recipe
from condensa_core.schemes import Target
from condensa_core.schemes.channels import select_units, unit_scores
from condensa_core.workload import TOP1, Score, evaluate, task_loss

RECIPE = Path(__file__).parents[1] / "recipes" / "fashion-mnist-filters.yaml"
MACS_RATIO = 7.0
EPOCHS = 6
ALIGN = 4


def weighted(exponent: float) -> Callable[[Tensor], Tensor]:
    return lambda scores: share_gained(scores) * len(scores) ** (exponent - 0.5)


RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "threshold on scaled norms": lambda scores: scores / scores.square().mean().sqrt(),
    "gain, a = 0": weighted(0.0),
    "gain, a = 1/2 (default)": weighted(0.5),
    "gain, a = 1": weighted(1.0),
}


def kept_at(bench: Workbench, rule: Callable[[Tensor], Tensor], sparsity: float) -> dict[str, np.ndarray]:
    target = Target({n: p.detach() for n, p in bench.model.named_parameters()}, bench.graph.families)
    worth = {f.name: rule(unit_scores(target, f, "l2")) for f in bench.graph.families}
    return select_units(worth, sparsity, ALIGN)


def cut_to(bench: Workbench, rule: Callable[[Tensor], Tensor]) -> tuple[float, nn.Module, list[int]]:
    """The sparsity, found by bisection, at which the MACs fall to 1 / MACS_RATIO, and the cut model."""
    low, high, dense = 0.0, 0.95, count_macs(bench.model, bench.example)
    for _ in range(12):
        sparsity = (low + high) / 2
        keep = kept_at(bench, rule, sparsity)
        small = shrink(bench.model, bench.graph, keep)
        if dense / count_macs(small, bench.example) > MACS_RATIO:
            high = sparsity
        else:
            low = sparsity
    return sparsity, small, [int(mask.sum()) for mask in keep.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bench = trained(bound(read_recipe(RECIPE)))
    train, loss = bench.splits.train, task_loss("classification")

    def judge(model: nn.Module) -> Score:
        return evaluate(model, bench.splits.val, [TOP1]).scores["top1"]

    def percent_on_test(model: nn.Module) -> float:
        return 100 * evaluate(model, bench.splits.test, [TOP1]).scores["top1"].value

    settings = replace(settings_for(bench.recipe, bench.splits, bench.model), finetune_iterations=EPOCHS * train.steps)
    rows = []
    for name, rule in RULES.items():
        sparsity, small, kept = cut_to(bench, rule)
        recalibrate_batchnorm(small, train)
        small = small.to(memory_format=torch.channels_last)
        runs = [finetune(small, [], train, loss, judge, settings, seed=Seed(s)) for s in range(options.seeds)]
        rows.append(
            {
                "rule": name,
                "sparsity": round(sparsity, 3),
                "kept": kept,
                "macs_ratio": round(bench.graph.macs / count_macs(small, bench.example), 2),
                "val_percent": round(100 * mean(score.value for _, score in runs), 2),
                "test_percent": round(mean(percent_on_test(model) for model, _ in runs), 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        result = {
            "benchmark": "allocation of channels over layers at equal MACs, Fashion-MNIST, direct cut then fine-tuned",
            "command": "python benchmarks/channel_allocation.py",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "reference": {
                "val_percent": round(100 * judge(bench.model).value, 2),
                "test_percent": percent_on_test(bench.model),
            },
            "seeds": options.seeds,
            "rows": rows,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
