"""Removals of channels on random networks: how many of them were wrong.

    python benchmarks/random_graphs.py --cases 2000 --out benchmarks/results/random_graphs.json

Each case is a fresh network of `tests/support/random_networks.py`: residuals, concatenations of concatenations, splits,
factorised reshapes, grouped and transposed convolutions, attention in its usual spellings, recurrent layers, norms,
gates, shared modules, tied weights. It is cut in four ways (one unit, half of everything, one survivor in each family,
any number of any), and some of its branches are removed. A cut counts as wrong if the program that is left does not
compute, in float64 to a relative 1e-10, what the network computes with the removed units masked (norms that average
over channels: over the survivors), if it differs from that on inputs which the check does not see, if nothing became
smaller, or if anything crashes. Every fourth network is also cut strictly (norms keep their channels: the masked
network, always) and exported again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from random_networks import RandomNetwork, random_program
from removal_trials import try_removals

from condensa_core.bench import describe_machine


def run(cases: int, seed: int) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    begun = time.perf_counter()
    for case in range(cases):
        network = RandomNetwork(random_program(np.random.default_rng([seed, case])))
        trials = try_removals(network, thorough=case % 4 == 0)
        counts.update(trials.counts)
        blocks.update(type(network.blocks[number]).__name__ for number, _ in network.reads)
        for sentence in trials.wrong:
            wrong.append({"case": case, "what": sentence})
            print(f"case {case}: {sentence}", flush=True)
        if (case + 1) % 100 == 0:
            cuts = _cuts(counts)
            print(f"{case + 1} cases, {cuts} cuts checked, {len(wrong)} wrong removals", flush=True)
    return {
        "cases": cases,
        "seed": seed,
        "cuts_checked": _cuts(counts),
        "wrong_removals": len(wrong),
        "wrong": wrong,
        "seconds": round(time.perf_counter() - begun),
        "counts": dict(sorted(counts.items())),
        "blocks": dict(blocks.most_common()),
    }


def _cuts(counts: Counter[str]) -> int:
    return counts["cuts"] + counts["strict_cuts"] + counts["branch_cuts"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of torch.export, about its own internals
    found = run(options.cases, options.seed)
    print(f"{found['cases']} cases, {found['cuts_checked']} cuts checked, {found['wrong_removals']} wrong removals")
    if options.out:
        result = {
            "benchmark": "wrong removals of channels on random networks",
            "command": f"python benchmarks/random_graphs.py --cases {options.cases} --seed {options.seed}",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            **found,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if found["wrong_removals"] else 0


if __name__ == "__main__":
    sys.exit(main())
