"""The default mu ladder against hand-made ones: l0 pruning of a small CNN on digits to 5 % of its weights.

    python benchmarks/mu_schedule.py --out benchmarks/results/mu_schedule.json

Validation accuracy (percent, mean over seeds) of the L-C result and after fine-tuning, for L steps of 8, 17 (one epoch)
and 51 mini-batches; every other setting is the default. Rows: mu_j = start * growth^(j-1) by hand, then ladders laid in
pull (see condensa_core/learning/schedule.py), then the default. "diverged" counts as 0.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from condensa_core.bench import describe_machine
from condensa_core.errors import Diverged
from condensa_core.learning import Settings, compress, finetune, schedule
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec
from condensa_core.schemes import Part, Prune
from condensa_core.workload import TOP1, Score, evaluate, load_splits, task_loss, train_reference, zoo_model

DENSITY = 0.05
ITERATIONS = (8, 17, 51)
BY_HAND = [(start, growth) for start in (1e-3, 1e-2, 1e-1, 1.0) for growth in (1.1, 1.3, 1.5)]
PULLS = [(0.1, 2.0), (0.3, 3.0), (0.3, 8.0), (0.5, 3.0), (1.0, 2.0), (2.0, 4.0), (4.0, 20.0)]


class Case:
    def __init__(self, seeds: int) -> None:
        self.splits = load_splits(DataSpec(builtin="digits"), seed=Seed(0), directory=Path())
        torch.manual_seed(0)
        model = zoo_model("small-cnn", 10, self.splits.input_shape, {"width": 16})
        self.model = train_reference(model, self.splits, None, seed=Seed(0)).eval()
        self.seeds = seeds

    def judge(self, model: nn.Module) -> Score:
        return evaluate(model, self.splits.val, [TOP1]).scores["top1"]

    def accuracy(self, iterations: int, mu: tuple[float, float, None] | None) -> tuple[float, float]:
        """Percent after L-C and after fine-tuning, mean over the seeds."""
        names = tuple(n for n, p in self.model.named_parameters() if p.dim() > 1)
        parts, loss, train = [Part(names, Prune(1 - DENSITY))], task_loss("classification"), self.splits.train
        settings = replace(Settings(), iterations=iterations, mu=mu, finetune_iterations=4 * train.steps)
        learned, tuned = [], []
        for seed in map(Seed, range(self.seeds)):
            try:
                result = compress(self.model, parts, train, loss, self.judge, settings, seed=seed)
                freedoms = [code.freedom() for code in result.codes]
                best = finetune(result.model, freedoms, train, loss, self.judge, settings, seed=seed)[1]
            except Diverged:
                learned.append(0.0)
                tuned.append(0.0)
            else:
                learned.append(100 * result.score.value)
                tuned.append(100 * best.value)
        return round(mean(learned), 2), round(mean(tuned), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = Case(options.seeds)
    rows = []

    def row(name: str, mu: tuple[float, float, None] | None) -> None:
        figures = {str(n): case.accuracy(n, mu) for n in ITERATIONS}
        rows.append({"schedule": name, "lc_then_finetuned": figures})
        print(json.dumps(rows[-1]), flush=True)

    default = schedule.PULL_START, schedule.PULL_END
    row(f"default: pull {default[0]:g} to {default[1]:g}", None)
    for start, growth in BY_HAND:
        row(f"mu {start:g} x {growth:g}^j", (start, growth, None))
    for pulls in PULLS:
        schedule.PULL_START, schedule.PULL_END = pulls
        row(f"pull {pulls[0]:g} to {pulls[1]:g}", None)
    if options.out:
        result = {
            "benchmark": "default mu against hand-made schedules, percent validation accuracy [L-C, fine-tuned]",
            "command": "python benchmarks/mu_schedule.py",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "reference_percent": round(100 * case.judge(case.model).value, 2),
            "density": DENSITY,
            "seeds": options.seeds,
            "rows": rows,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
