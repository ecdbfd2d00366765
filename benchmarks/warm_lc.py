"""Does an L-C run that starts from the live weights of a finished one end as well as one from the reference?

    python benchmarks/warm_lc.py --seeds 8 --out benchmarks/results/warm_lc
    python benchmarks/warm_lc.py --recipe recipes/fashion-mnist-filters.yaml --places 0.54 0.72 0.85 --out warm_fashion

For each seed a donor is trained at each of two knob values, then a setting between them: cold (from the reference) and
warm (from the milder and from the stronger donor), each with all L steps and with half of them. Differences are paired
by seed: a seed has its own split, reference and data order, the same for every start. Writes JSON and a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condensa_core.flow.candidate import Structure, cut_model
from condensa_core.flow.effort import settings_for, training_batches
from condensa_core.flow.splitting import freedoms, split
from condensa_core.flow.trial import learning_copy
from condensa_core.flow.workbench import Workbench, bound, trained
from condensa_core.graph import count_macs
from condensa_core.learning import Learned, Meter, compress, finetune
from condensa_core.randomness import Seed
from condensa_core.recipe import read_recipe, recipe_from
from condensa_core.workload import evaluate, task_loss

# A narrow CNN, so that a seed takes a minute; everything about learning is the default.
NARROW: dict[str, Any] = {
    "condensa": 1,
    "name": "narrow-digits-filters",
    "model": {"builtin": "small-cnn", "args": {"width": 16, "depth": 1, "stages": 2}},
    "data": {"builtin": "digits"},
    "layers": [{"match": "all", "scheme": {"filter": {}}}],
    "constraint": {"metric": "top1", "max_drop": "2pp"},
    "objective": {"minimize": "macs"},
}


def learned_at(
    bench: Workbench,
    sparsity: float,
    seed: Seed,
    *,
    steps: int | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> tuple[Learned, dict[str, Any]]:
    """The trial at this sparsity as `condensa run` trains it: its L-C run, and what came of it after fine-tuning."""
    recipe, train = bench.recipe, training_batches(bench.recipe, bench.splits)
    settings = settings_for(recipe, bench.splits, bench.model)
    settings = dataclasses.replace(settings, steps=steps or settings.steps)
    metric, loss = bench.metrics[recipe.constraint.metric], task_loss(recipe.task)

    def judge(model: torch.nn.Module, split_name: str = "val") -> Any:
        return evaluate(model, getattr(bench.splits, split_name), [metric]).scores[metric.name]

    meter = Meter(bench.graph.macs)
    (knob,) = bench.plan.space.names
    parts = bench.parts_at({knob: sparsity})
    model = learning_copy(bench.model, bench.device)
    learned = compress(model, parts, train, loss, judge, settings, seed=seed, meter=meter, start_from=start)
    decided = Structure.of(learned.codes)
    small, structure = split(bench, cut_model(bench, learned.model.cpu(), decided), decided)
    tuning = Meter(count_macs(small, bench.example))
    tuned, score = finetune(
        small, freedoms(bench, small, structure), train, loss, judge, settings, seed=seed, meter=tuning
    )
    cost = sum(m.trained * m.macs for m in (meter, tuning))
    test = judge(tuned, "test").value
    figures = {"learned": learned.score.value, "val": score.value, "test": test, "training_macs": cost}
    return learned, figures


def compared(bench: Workbench, seed: Seed, mild: float, target: float, strong: float) -> dict[str, dict[str, Any]]:
    """Every start with all and with half of the L steps, at the target, for one seed."""
    steps = settings_for(bench.recipe, bench.splits, bench.model).steps
    donors = {place: learned_at(bench, place, seed.child("donor", str(place)))[0].live for place in (mild, strong)}
    starts = {"cold": None, "warm from milder": donors[mild], "warm from stronger": donors[strong]}
    rows = {}
    for name, start in starts.items():
        for label, count in (("full", steps), ("half", steps // 2)):
            rows[f"{name}, {label}"] = learned_at(bench, target, seed.child("target"), steps=count, start=start)[1]
    return rows


def summary(runs: list[dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Means over the seeds, and the paired difference to cold/full in points with its standard error."""
    rows = []
    for name in runs[0]:
        row: dict[str, Any] = {"run": name}
        for figure in ("learned", "val", "test"):
            values = [run[name][figure] for run in runs]
            gaps = [100 * (run[name][figure] - run["cold, full"][figure]) for run in runs]
            spread = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else None
            row[figure] = {
                "mean": statistics.fmean(values),
                "difference_pp": statistics.fmean(gaps),
                "stderr_pp": spread,
            }
        costs = [run[name]["training_macs"] / run["cold, full"]["training_macs"] for run in runs]
        row["cost"] = statistics.fmean(costs)
        rows.append(row)
    return rows


def table(document: Mapping[str, Any]) -> str:
    lines = [
        "# Warm starts of L-C: {recipe}, sparsity {target}, donors at {mild} and {strong}".format(**document),
        "",
        f"`python benchmarks/warm_lc.py`, {document['seeds']} seeds. Differences to cold/full in points, paired by "
        "seed, with their standard error; cost in training passes weighted by MACs.",
        "",
        "| start, L steps | after L-C (val) | difference | fine-tuned (val) | difference | test | difference | cost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["summary"]:
        cells = [row["run"]]
        for figure in ("learned", "val", "test"):
            found = row[figure]
            spread = f" ± {found['stderr_pp']:.2f}" if found["stderr_pp"] is not None else ""
            cells += [f"{100 * found['mean']:.2f} %", f"{found['difference_pp']:+.2f}{spread}"]
        lines.append("| " + " | ".join([*cells, f"{row['cost']:.2f}x"]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, help="a recipe with one sparsity; the narrow digits network by default")
    places = ("MILDER", "TARGET", "STRONGER")
    parser.add_argument("--places", type=float, nargs=3, metavar=places, default=(0.6, 0.75, 0.85))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True, help="path of the results without suffix")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe) if given.recipe else recipe_from(NARROW)
    mild, target, strong = given.places
    runs: list[dict[str, dict[str, Any]]] = []
    for number in range(given.seeds):
        bench = trained(bound(recipe.model_copy(update={"seed": number})))
        runs.append(compared(bench, bench.seed, mild, target, strong))
        document = {"recipe": recipe.name, "mild": mild, "target": target, "strong": strong, "seeds": len(runs)}
        document |= {"summary": summary(runs), "runs": runs}
        given.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(table(document), encoding="utf-8")
        print(table(document), flush=True)


if __name__ == "__main__":
    main()
