"""Errors planted in maps of kept positions: how many of those that change the function the equality check catches.

    python benchmarks/planted_errors.py --errors 200 --out benchmarks/results/planted_errors.json

Each error is one position of one tensor, swapped for a removed one, in a random cut of a random network: in the map
that the cut of the program reads, in the one that the cut of the modules reads, or in the family itself, so that the
masked model is wrong in the same way. An error is harmless if the faulty model computes what a right one does on three
further batches of inputs (a bias in front of a norm, a dead ReLU, two units exchanged altogether); any other must be
caught by `check_equivalence`, or not even be built.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from collections import Counter
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from index_errors import ROUTES, plant_error
from random_networks import RandomNetwork, random_program

from condensa_core.bench import describe_machine


def run(errors: int, seed: int) -> dict[str, Any]:
    planted: list[dict[str, Any]] = []
    case = 0
    while len(planted) < errors:
        generator = np.random.default_rng([seed, case])
        network = RandomNetwork(random_program(generator))
        error = plant_error(network, ROUTES[case % len(ROUTES)], generator)
        if error is not None:
            planted.append({"case": case, **asdict(error)})
            print(json.dumps(planted[-1]), flush=True)
        case += 1
    fates = Counter(error["fate"] for error in planted)
    return {
        "planted": len(planted),
        "networks": case,
        "seed": seed,
        **{fate.replace(" ", "_"): fates[fate] for fate in ("harmless", "not built", "caught", "missed")},
        "by_route": {route: dict(Counter(e["fate"] for e in planted if e["route"] == route)) for route in ROUTES},
        "by_side": {
            side: dict(Counter(e["fate"] for e in planted if e["side"] == side))
            for side in ("produces", "follows", "consumes")
        },
        "missed_errors": [error for error in planted if error["fate"] == "missed"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of torch.export, about its own internals
    found = run(options.errors, options.seed)
    print(", ".join(f"{found[key]} {key}" for key in ("planted", "harmless", "not_built", "caught", "missed")))
    if options.out:
        result = {
            "benchmark": "single-index errors planted in maps of kept positions, caught by the equality check",
            "command": f"python benchmarks/planted_errors.py --errors {options.errors} --seed {options.seed}",
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": describe_machine().to_json(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            **found,
        }
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
