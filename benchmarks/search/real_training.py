"""Searches on real training: filters off a CNN on Fashion-MNIST, several seeds, the same L-C settings for all.

    python benchmarks/search/real_training.py --recipe recipes/fashion-mnist-filters.yaml --trials 8 --folder runs \\
        --out benchmarks/results/search-fashion-mnist

A seed is that of data split, reference, searches and trainings: each has a reference of its own. `condensa ablate`
does the work in a folder for each seed, and a second call goes on there. What each strategy would ship is then judged
on the test split, which no search has read. Costs are counted, not timed, so that other load does not blur them:
samples passed forward and backward, each weighted by the multiply-accumulates of the model that was trained (the whole
one in L steps, the cut one in fine-tuning), in units of training the reference once. Reading, judging, exporting and
timing are not in it; `seconds` has them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from condensa_core import flow
from condensa_core.bench import describe_machine
from condensa_core.export import OnnxModel
from condensa_core.flow.effort import settings_for, training_batches
from condensa_core.flow.trial import trial_folder
from condensa_core.flow.workbench import Workbench, bound, trained
from condensa_core.learning import Settings
from condensa_core.progress import Listener, silent
from condensa_core.recipe import Recipe, read_recipe
from condensa_core.report import Ablation, Played
from condensa_core.search import point_key, read_journal
from condensa_core.workload import Evaluation, difference_stderr, evaluate, training_plan

STRATEGIES: Final = ("level-set", "bisection", "ils-ucb:raw")
COST_TARGET: Final = 4.0


@dataclass(frozen=True)
class Costs:
    """What trainings of one seed's recipe cost, in sample passes times multiply-accumulates."""

    bench: Workbench

    @property
    def reference(self) -> float:
        splits = self.bench.splits
        plan = training_plan(self.bench.recipe.reference.train, splits, self.bench.model)
        return float(plan.epochs * splits.train.count * self.bench.graph.macs)

    def trial(self, details: Mapping[str, Any]) -> float:
        recipe, splits = self.bench.recipe, self.bench.splits
        settings: Settings = settings_for(recipe, splits, self.bench.model, details["attempt"])
        learned = sum(settings.iterations_of(step) for step in range(1, details["lc"]["steps"] + 1))
        batch = training_batches(recipe, splits).batch
        return float(batch * (learned * self.bench.graph.macs + settings.finetune_iterations * details["macs"]))


def of_seed(recipe: Recipe, folder: Path, strategies: Sequence[str], listener: Listener) -> list[dict[str, Any]]:
    """A row for each strategy."""
    earlier = sorted(folder.glob("*/*/manifest.json"))
    resumed = earlier[-1].parent if earlier else None
    ablation = flow.ablate(recipe, strategies, out=folder, resumed=resumed, listener=listener)
    bench = trained(bound(recipe))
    directory = Path(ablation.run_dir)
    _, entries = read_journal(directory / "trials.jsonl")
    found = [e.payload for e in entries if e.kind == "trained" and "observation" in e.payload]
    known = {point_key(payload["point"]): payload for payload in found}
    reference = _judged(bench, directory / "reference" / "model.onnx", ("val", "test"))
    return [_row(bench, ablation, played, known, directory / "seed-0", reference) for played in ablation.searches]


def _row(
    bench: Workbench,
    ablation: Ablation,
    played: Played,
    known: Mapping[str, Mapping[str, Any]],
    folder: Path,
    reference: Mapping[str, Evaluation],
) -> dict[str, Any]:
    bound_, costs = bench.recipe.constraint, Costs(bench)
    base = {split: judged.scores[bound_.metric].value for split, judged in reference.items()}
    trials = [known[point_key(point)]["observation"] for point in played.points if point_key(point) in known]
    row: dict[str, Any] = {
        "strategy": played.strategy,
        "seed": bench.recipe.seed,
        "trainings": len(played.points),
        "stopped": played.stopped,
        "objective": played.factors[-1],
        "best_known": ablation.best[played.seed],
        "objective_after": list(played.factors),
        "holds_by_all_trials": played.held[-1],
        "cost": sum(costs.trial(o["details"]) for o in trials) / costs.reference,
        "seconds": sum(o["details"]["seconds"] for o in trials),
        "points": [dict(point) for point in played.points],
        "val": [o["metric"] for o in trials],
        "limit_val": bound_.limit(base["val"]),
        "limit_test": bound_.limit(base["test"]),
        "shipped": played.shipped,
    }
    if played.shipped is None:
        return row
    entry = known[point_key(played.shipped)]
    tested = _judged(bench, trial_folder(folder, entry["number"]) / "model.onnx", ("test",))["test"]
    value = tested.scores[bound_.metric].value
    return {
        **row,
        "val_shipped": entry["observation"]["metric"],
        "test_shipped": value,
        "test_change": value - base["test"],
        "test_change_stderr": difference_stderr(tested, reference["test"], bound_.metric),
        "test_holds": bound_.met(value, base["test"]),
    }


def _judged(bench: Workbench, file: Path, splits: Sequence[str]) -> dict[str, Evaluation]:
    metrics = list(bench.metrics.values())
    return {split: evaluate(OnnxModel(file), getattr(bench.splits, split), metrics) for split in splits}


def page(result: Mapping[str, Any]) -> str:
    """Markdown: a row for each strategy and seed, then means."""
    rows: list[dict[str, Any]] = result["rows"]
    parts = [
        "# Searches on real training\n",
        f"`{result['command']}`, {result['date']}, commit {result['commit']}. {result['what']}\n",
        "| seed | strategy | trainings | objective | best known | within 1 % after | val (limit) | test change |"
        " test (limit) | cost | seconds |",
        "| --- " * 11 + "|",
    ]
    parts += [_line(row) for row in rows]
    parts += [
        "\nObjectives are multiples of the reference's; best known is what all trials of the seed together would"
        " ship. Within 1 % after: the trainings from which on it would ship that much. The test change has its paired"
        " standard error. Cost is in units of training the reference once.\n",
        "| strategy | seeds | trainings | share of the best known | bound holds on test | cost, mean | cost, worst |",
        "| --- " * 7 + "|",
    ]
    for name in dict.fromkeys(row["strategy"] for row in rows):
        mine = [row for row in rows if row["strategy"] == name]
        held = [row["test_holds"] for row in mine if row["shipped"] is not None]
        costs = [row["cost"] for row in mine]
        share = mean(row["objective"] / row["best_known"] for row in mine)
        parts.append(
            f"| {name} | {len(mine)} | {mean(row['trainings'] for row in mine):.1f} | {share:.1%} |"
            f" {sum(held)} of {len(held)} | {mean(costs):.2f} | {max(costs):.2f} |"
        )
    worst = max((row["cost"] for row in rows if row["strategy"] == "level-set"), default=0.0)
    verdict = "met" if worst <= COST_TARGET else "missed"
    parts.append(
        f"\nTarget: a default search costs at most {COST_TARGET:g}x training the reference once: {verdict}"
        f" ({worst:.2f}).\n"
    )
    return "\n".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    enough = 0.99 * row["best_known"]
    missing = [n for n, factor in enumerate(row["objective_after"], 1) if factor < enough]
    last = missing[-1] if missing else 0
    soon = str(last + 1) if last < len(row["objective_after"]) else "never"
    cells = [
        row["seed"],
        row["strategy"],
        row["trainings"],
        f"{row['objective']:.2f}x",
        f"{row['best_known']:.2f}x",
        soon,
    ]
    if row["shipped"] is None:
        cells += ["the reference", "", ""]
    else:
        cells += [
            f"{row['val_shipped']:.2%} ({row['limit_val']:.2%})",
            f"{100 * row['test_change']:+.2f} ± {100 * row['test_change_stderr']:.2f} points",
            f"{row['test_shipped']:.2%} ({row['limit_test']:.2%})" + ("" if row["test_holds"] else " ✗"),
        ]
    cells += [f"{row['cost']:.2f}", f"{row['seconds']:.0f}"]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES))
    parser.add_argument("--folder", type=Path, required=True, help="where the trained models are kept")
    parser.add_argument("--commit", default="not said", help="of the code that trained")
    parser.add_argument("--out", type=Path, help="without suffix: .json and .md are written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    read = read_recipe(options.recipe)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        search = read.search.model_copy(update={"trials": options.trials})
        recipe = read.model_copy(update={"seed": seed, "search": search})
        rows += of_seed(recipe, options.folder / f"seed-{seed}", options.strategies, silent)
        print(json.dumps([row for row in rows if row["seed"] == seed], indent=1), flush=True)
    seeds = " ".join(str(seed) for seed in options.seeds)
    result = {
        "what": f"{read.name}: {read.description}",
        "command": f"python benchmarks/search/real_training.py --recipe recipes/{options.recipe.name} --seeds {seeds}"
        f" --trials {options.trials} --folder runs --out {options.out and options.out.name}",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": options.commit,
        "machine": describe_machine().to_json(),
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "botorch", "numpy")},
        "rows": rows,
    }
    text = page(result)
    print(text)
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
