"""The search over several knobs: two, four and eight, against SCBO, qLogNEI and the allocation curve alone.

    python benchmarks/search/many_knobs.py --seed S --journal knobs.jsonl --out search-many-knobs

Each contender plays networks of `grouped_networks.py` through the public ask/tell interface, with noise of 0.1 % and a
drop of 1 %, and is held against the true optimum. The journal grows line by line and a second call goes on after the
first; plays of an older engine are played again unless `--any-engine`. Contenders:

    level-set               the default, told the sensitivity of each knob
    level-set, untold       the same without it
    curve                   one knob: the level-set search along the allocation curve, told the sensitivity
    scbo, log-nei           as `strategy_named` makes them; SCBO knows the objective, qLogNEI models it
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy or torch starts a thread pool: CPU seconds are reported

import numpy as np
from grouped_networks import DENSE, DROP, NOISE, GroupedNetwork, grouped_network
from journal import Journal, engine_digest
from knobs_page import figures, page
from playing import Unstopped

from condensa_core.bench import describe_machine
from condensa_core.randomness import Seed
from condensa_core.search import LevelProblem, ObjectiveSurface, Search, Strategy, Told, strategy_named
from condensa_core.search.curve_walk import CurveWalk
from condensa_core.search.many_knobs import curve_of

RUNS: Final = {2: 15, 4: 20, 8: 30}
CHECKED: Final = (5, 10, 15, 20, 30)
CONTENDERS: Final = ("level-set", "curve", "scbo", "log-nei", "level-set, untold")


def problem_of(network: GroupedNetwork) -> LevelProblem:
    """The network as a search sees it: the objective is a function of the point, accuracy has to be learned."""
    surface = ObjectiveSurface(network.space, 1.0, function=network.objective, name="compression")
    return LevelProblem(network.space, surface, DENSE - DROP, DENSE, noise_sd=NOISE, sensitivity=network.sensitivity())


def strategy_of(contender: str, problem: LevelProblem, seed: Seed) -> Strategy:
    """A fresh strategy."""
    if contender == "curve":
        return CurveWalk.of(problem, curve_of(problem))
    if contender == "level-set, untold":
        return strategy_named("level-set", replace(problem, sensitivity=None), seed=seed)
    return strategy_named(contender, problem, seed=seed)


def play(contender: str, network: GroupedNetwork, seed: int) -> dict[str, Any]:
    """JSON values: what would be returned after each number of runs in `CHECKED`, runs used, CPU seconds."""
    problem = problem_of(network)
    if contender == "level-set, untold":
        problem = replace(problem, sensitivity=None)
    rng = np.random.default_rng([seed, network.seed, 3])  # the same noise for the first trial of all contenders
    budget = RUNS[len(network.space.knobs)]
    strategy = strategy_of(contender, problem, Seed(seed))
    search = Search(problem, Unstopped(strategy), budget=budget)
    optimum = network.optimum()
    cpu_s: list[float] = []
    stop: dict[str, Any] | None = None
    while True:
        begun = time.process_time()
        runs = len(search.observations)
        stops = strategy.finished(Told(search.observations)) is not None
        asked = search.ask()
        if stop is None and (stops or not asked):
            stop = {"runs": runs, **_standing(search, network, optimum, runs)}
        if not asked:
            break
        cpu_s.append(time.process_time() - begun)
        search.tell(asked[0], network.noisy(asked[0], rng), sd=NOISE)
    standings = {str(n): _standing(search, network, optimum, n) for n in CHECKED if n <= budget}
    tried = [[list(o.point.values()), o.metric] for o in search.observations]
    return {"optimum": optimum, "cpu_s": cpu_s, "standings": standings, "stop": stop, "tried": tried}


def _standing(search: Search, network: GroupedNetwork, optimum: float, runs: int) -> dict[str, Any]:
    """What is returned after so many runs: its share of the optimum, and its true margin in points of accuracy."""
    earlier = Search(search.problem, search.strategy, budget=runs)
    for observation in search.observations[:runs]:
        earlier.tell_observation(observation)
    found = earlier.recommend()
    if not found.feasible or found.point is None:
        return {"share": 1 / optimum, "margin": 100 * DROP, "probability": None}  # the reference itself
    margin = 100 * (network.metric(found.point) - (DENSE - DROP))
    return {"share": network.objective(found.point) / optimum, "margin": margin, "probability": found.probability}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--knobs", default="2,4,8")
    parser.add_argument("--contenders", default=";".join(CONTENDERS), help='separated by ";"')
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--any-engine", action="store_true", help="also count plays of older engines")
    parser.add_argument("--out", type=Path, help="without an ending")
    options = parser.parse_args()
    journal = Journal(options.journal, None if options.any_engine else engine_digest())
    contenders = options.contenders.split(";")
    for task in range(options.tasks):
        for knobs in map(int, options.knobs.split(",")):
            for contender in contenders:
                _played(journal, knobs, options.seed, task, contender)
    result = _result(journal, contenders, options)
    print(page(result))
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(page(result))


def _played(journal: Journal, knobs: int, seed: int, task: int, contender: str) -> None:
    if (f"{knobs} knobs", seed, task, contender) in journal:
        return
    begun = time.monotonic()
    played = play(contender, grouped_network(1000 * seed + task, knobs), seed)
    journal.add({"kind": f"{knobs} knobs", "seed": seed, "task": task, "contender": contender, **played})
    print(f"{knobs} knobs, task {task}, {contender}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def _result(journal: Journal, contenders: list[str], options: argparse.Namespace) -> dict[str, Any]:
    kinds: dict[str, Mapping[str, Any]] = {}
    for knobs in options.knobs.split(","):
        plays = {c: journal.plays(f"{knobs} knobs", options.seed, c)[: options.tasks] for c in contenders}
        kinds[knobs] = {name: figures(played, plays.get("curve", [])) for name, played in plays.items() if played}
    return {
        "benchmark": "level searches over several knobs",
        "command": f"python benchmarks/search/many_knobs.py --tasks {options.tasks} --seed {options.seed}"
        f" --knobs {options.knobs} --contenders '{options.contenders}'",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine().to_json(),
        "versions": {name: version(name) for name in ("numpy", "torch", "botorch")},
        "seed": options.seed,
        "kinds": kinds,
    }


if __name__ == "__main__":
    main()
