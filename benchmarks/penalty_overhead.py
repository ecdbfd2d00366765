"""What the L-C penalty costs in an L step: thread-CPU time per iteration with it, over plain SGD.

    python benchmarks/penalty_overhead.py --out benchmarks/results/penalty_overhead.json

LeNet-300 (batch 256, 784 inputs) and ResNet-20 (batch 128, 3x32x32), Nesterov SGD, one thread. Both arms take turns in
random order; the ratio is taken per round of `ITERATIONS` iterations, its median with a 95 % bootstrap interval. The LC
library's autograd penalty costs +18 % on LeNet-300, its analytic form +5 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from condensa_core.bench import describe_machine
from condensa_core.bench.statistics import ratio_interval
from condensa_core.learning import Penalty
from condensa_core.randomness import Seed
from condensa_core.workload import zoo_model

CASES = {"lenet300": ((1, 28, 28), 256, 30), "resnet20": ((3, 32, 32), 128, 3)}
ROUNDS = 40


class Arm:
    """One model in training, with or without the penalty on its weights."""

    def __init__(self, name: str, shape: tuple[int, ...], batch: int, *, penalised: bool) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = zoo_model(name, 10, shape, {}).train()
        self.inputs, self.targets = torch.randn(batch, *shape), torch.randint(10, (batch,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        weights = [p for n, p in self.model.named_parameters() if n.endswith("weight") and p.dim() > 1]
        targets = [torch.zeros_like(w) for w in weights]
        self.penalty = Penalty(weights, targets, 1e-3) if penalised else None

    def run(self, iterations: int) -> float:
        begun = time.thread_time_ns()
        for _ in range(iterations):
            self.optimizer.zero_grad(set_to_none=False)
            cross_entropy(self.model(self.inputs), self.targets).backward()
            if self.penalty:
                self.penalty.add_gradient()
            self.optimizer.step()
        return (time.thread_time_ns() - begun) / 1e9 / iterations


def measure(name: str) -> dict[str, float]:
    shape, batch, iterations = CASES[name]
    arms = {penalised: Arm(name, shape, batch, penalised=penalised) for penalised in (False, True)}
    for arm in arms.values():
        arm.run(iterations)
    times: dict[bool, list[float]] = {False: [], True: []}
    order = Seed(0).numpy_generator("order")
    for _ in range(ROUNDS):
        for penalised in order.permutation([False, True]):
            times[bool(penalised)].append(arms[bool(penalised)].run(iterations))
    ratio = ratio_interval(times[True], times[False], seed=Seed(0))
    return {
        "model": name,
        "plain_ms": 1000 * sorted(times[False])[ROUNDS // 2],
        "overhead_percent": 100 * (ratio.value - 1),
        "low": 100 * (ratio.low - 1),
        "high": 100 * (ratio.high - 1),
        "rounds": ROUNDS,
        "iterations_per_round": iterations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in CASES:
        rows.append(measure(name))
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        result = {
            "benchmark": "penalty overhead in thread-CPU time per iteration, percent of plain SGD",
            "command": "python benchmarks/penalty_overhead.py",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "cases": rows,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
