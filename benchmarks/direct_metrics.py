"""Direct compression, without any training, near in the weights or near in what layers compute.

    python benchmarks/direct_metrics.py --out benchmarks/results/direct_metrics.json

Each scheme projects the trained weights of every layer once: in the identity metric, in the diagonal one (the mean
energy of each input) and in the gram matrix of the layer's inputs, both from 1,024 training samples. Judged on the test
split, which nothing else reads: accuracy, cross-entropy, and the mean squared error of the logits against the reference
relative to their variance. A reference comes from its recipe, trained once and cached like any.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condensa_core.bench import describe_machine
from condensa_core.flow.workbench import METRIC_SAMPLES, Workbench, bound, trained
from condensa_core.learning import compress_directly, input_metrics
from condensa_core.recipe import read_recipe_text
from condensa_core.schemes import LowRank, Metric, Part, Prune, Quantize, Scheme
from condensa_core.workload import TOP1, Batches, evaluate

RECIPE = """
condensa: 1
model: {{builtin: {model}}}
data: {{builtin: {data}}}
layers: [{{match: all, scheme: {{prune: {{sparsity: 0.5}}}}}}]
constraint: {{metric: top1, max_drop: 2%}}
objective: {{minimize: size.packed}}
search: {{method: none}}
"""
MODELS = {
    "small-cnn, digits": ("small-cnn", "digits"),
    "lenet300, digits": ("lenet300", "digits"),
    "lenet300, Fashion-MNIST": ("lenet300", "fashion-mnist"),
    "small-cnn, Fashion-MNIST": ("small-cnn", "fashion-mnist"),
}
SCHEMES: dict[str, Scheme] = {
    "low rank, 40 % of the FLOPs": LowRank(select="flops", budget=0.4),
    "int4 in each channel": Quantize("int4", granularity="channel", range="mse"),
    "2:4": Prune(pattern="2:4"),
}


def metrics_of(bench: Workbench, names: tuple[str, ...]) -> dict[str, dict[str, Metric]]:
    found: dict[str, dict[str, Metric]] = {"identity": {}}
    for kind in ("diagonal", "gram"):
        found[kind] = input_metrics(bench.model, names, bench.splits.train, gram=kind == "gram", samples=METRIC_SAMPLES)
    return found


def one(bench: Workbench, name: str, scheme: Scheme) -> dict[str, Any]:
    names = tuple(n for n, p in bench.model.named_parameters() if p.ndim > 1)
    uses = {n: u for task in bench.plan.assignments for n, u in task.uses.items()}
    joint = isinstance(scheme, LowRank)  # one budget for all layers
    test = bench.splits.test
    assert test is not None
    rows = {}
    for kind, metrics in metrics_of(bench, names).items():
        parts = [
            Part(together, scheme, uses=uses, metrics={n: m for n, m in metrics.items() if n in together})
            for together in ([names] if joint else [(n,) for n in names])
        ]
        model = compress_directly(
            bench.model, parts, bench.splits.train, lambda m: evaluate(m, bench.splits.val, [TOP1]).scores["top1"]
        ).model
        rows[kind] = {
            "test_accuracy": evaluate(model, test, [TOP1]).scores["top1"].value,
            "logit_error": logit_error(bench.model, model, test),
        }
    print(json.dumps({"model": name, "scheme": scheme.name, **rows}), flush=True)
    return rows


@torch.no_grad()
def logit_error(reference: nn.Module, model: nn.Module, batches: Batches) -> float:
    """Mean squared difference of the logits over the variance of the reference's."""
    pairs: list[tuple[Tensor, Tensor]] = []
    reference, model = copy.deepcopy(reference).eval(), copy.deepcopy(model).eval()
    for inputs, _ in batches:
        pairs.append((reference(inputs), model(inputs)))
    expected, actual = (torch.cat(several).double() for several in zip(*pairs, strict=True))
    return float((actual - expected).square().mean() / expected.var(0, unbiased=False).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    for name in options.models:
        model, data = MODELS[name]
        bench = trained(bound(read_recipe_text(RECIPE.format(model=model, data=data), "benchmark")))
        test = bench.splits.test
        assert test is not None
        rows[name] = {
            "reference_accuracy": evaluate(bench.model, test, [TOP1]).scores["top1"].value,
            "test_samples": sum(len(targets) for _, targets in test),
            "schemes": {title: one(bench, name, scheme) for title, scheme in SCHEMES.items()},
        }
    result = {
        "benchmark": "direct compression in three metrics, no training; judged on the test split",
        "command": "python benchmarks/direct_metrics.py",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "calibration_samples": METRIC_SAMPLES,
        "machine": describe_machine().to_json(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "models": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
