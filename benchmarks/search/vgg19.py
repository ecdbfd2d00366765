"""The one published curve: accuracy and speed of VGG-19 on CIFAR-10 against its filter sparsity."""

from __future__ import annotations

from typing import Any, Final

from playing import Contender

from condensa_core.search import Knob, LevelProblem, ObjectiveProfile, Search, Space

# sparsity, top-1 in percent, frames per second: read off Figure 1 of Joseph et al., "A Programmable Approach to Neural
# Network Compression", IEEE Micro 40(5), 2020; filters pruned by L-C. The point at 0.83 stands alone behind a cliff.
POINTS: Final = (
    (0.04, 93.13, 648), (0.20, 93.44, 718), (0.40, 93.34, 930), (0.50, 93.17, 1143), (0.60, 93.73, 1355),
    (0.70, 93.45, 1609), (0.72, 93.51, 2182), (0.75, 92.72, 2255), (0.78, 93.64, 2370), (0.79, 93.37, 2541),
    (0.80, 91.28, 2685), (0.81, 10.00, 2740), (0.82, 10.00, 2837), (0.83, 92.94, 3190), (0.84, 30.45, 2987),
    (0.85, 10.00, 2023), (0.88, 10.00, 3775), (0.92, 10.00, 1870), (0.99, 10.00, 1136),
)  # fmt: skip
REFERENCE: Final = (93.01, 981)
DROPS: Final = (0.5, 1.0, 2.0)  # points
TARGETS: Final = {0.5: 2541, 1.0: 2541, 2.0: 2685}  # frames per second within five runs
_KNOB: Final = Knob("sparsity", range=(0.0, 0.99), step=0.01)


def speeds(contender: Contender, *, measured: bool, runs: tuple[int, ...] = (5, 10)) -> dict[str, list[float]]:
    """Frames per second of what is returned after each number of runs, by drop.

    `measured`: the frames per second of all points are known beforehand; else the search believes 1 / (1 - s) and the
    frames are looked up at what it returns.
    """
    return {f"{drop:g}": [_speed(contender, drop, measured, count) for count in runs] for drop in DROPS}


def _speed(contender: Contender, drop: float, measured: bool, runs: int) -> float:
    top1, fps = REFERENCE
    accuracy = {s: a / 100 for s, a, _ in POINTS}
    frames = {s: float(f) for s, _, f in POINTS}
    objectives: list[tuple[Any, float | None]] = [(s, f if measured else fps / (1 - s)) for s, f in frames.items()]
    profile = ObjectiveProfile.measured(_KNOB, objectives, fps, name="fps")
    problem = LevelProblem(Space((_KNOB,)), profile, (top1 - drop) / 100, top1 / 100)
    search = Search(problem, contender.strategy(problem, seed=0, trials=runs), budget=runs)
    while points := search.ask():
        search.tell(points[0], accuracy[float(points[0]["sparsity"])])
    said = search.recommend()
    return frames[float(said.point["sparsity"])] if said.feasible and said.point is not None else float(fps)
