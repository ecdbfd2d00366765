"""What ONNX Runtime runs of a file: its kernels with their times, and the nodes of its optimised graph they compute."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final, TypeVar

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.named_nodes import with_named_nodes
from condensa_core.bench.onnx_nodes import Node, Nodes, read_nodes
from condensa_core.bench.onnxruntime_runner import session_options
from condensa_core.bench.target import BenchTarget

PROFILED_S: Final = 0.5
FEWEST_RUNS, MOST_RUNS = 5, 200
WARM_UP_RUNS: Final = 2
_KERNEL: Final = "_kernel_time"
_RUNS_GRAPHS: Final = frozenset({"If", "Loop", "Scan"})
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Kernel:
    """A kernel by the runtime's name, its mean seconds in one inference without those of kernels inside it, how often
    an inference runs it, and its node in the optimised graph (None where several fit)."""

    name: str
    operator: str
    seconds: float
    runs: float
    node: Node | None


@dataclass(frozen=True)
class _Event:
    """A kernel that ran once; `within` are the kernels whose branch or loop it ran in, outermost first."""

    name: str
    operator: str
    seconds: float
    within: tuple[str, ...]


def profiled(
    path: Path, target: BenchTarget, feeds: Feeds, read: Callable[[Sequence[Kernel], Nodes], _Found]
) -> tuple[list[Kernel], _Found]:
    """The kernels of a file, and what `read` makes of them and of the graph that ONNX Runtime made of the file.

    They are timed over 5 to 200 inferences after 2 others, in wall time: what the scheduler does to a few of them must
    not count, so means are of the middle half. The weights of the graph can be read only in `read`.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = session_options(onnxruntime, target)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        optimised = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        # in a file of their own, since protobuf ends at 2 GiB
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        named = with_named_nodes(path)
        if named is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        session = onnxruntime.InferenceSession(named or path, options, providers=["CPUExecutionProvider"])
        fed = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
        outputs = [value.name for value in session.get_outputs()]
        runs, started = 0, time.perf_counter()
        while runs < WARM_UP_RUNS + FEWEST_RUNS or (runs < MOST_RUNS and time.perf_counter() - started < PROFILED_S):
            session.run_with_ort_values(outputs, fed)  # not every type has an array of numpy
            runs += 1
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        graph = read_nodes(optimised)
        kernels = kernels_of(events, graph)
        return kernels, read(kernels, graph)


def kernels_of(events: Iterable[Mapping[str, Any]], graph: Nodes) -> list[Kernel]:
    """The kernels that a profile tells of, with the nodes of the optimised graph."""
    runs = _runs(events)[WARM_UP_RUNS:]
    seconds: dict[tuple[str, ...], list[float]] = {}
    counts: dict[tuple[str, ...], int] = {}
    operators: dict[tuple[str, ...], str] = {}
    for at, run in enumerate(runs):
        for event in run:
            key = (*event.within, event.name)
            seconds.setdefault(key, [0.0] * len(runs))[at] += event.seconds
            counts[key] = counts.get(key, 0) + 1
            operators[key] = event.operator
    nodes = _nodes_of(operators, graph)
    return [
        Kernel(key[-1], operators[key], _middle_mean(each), counts[key] / len(runs), nodes.get(key))
        for key, each in seconds.items()
    ]


def _runs(events: Iterable[Mapping[str, Any]]) -> list[list[_Event]]:
    """Of each inference; the time of what runs inside a branch or a loop is taken off that of its node."""
    runs: list[list[_Event]] = []
    seen: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("name") == "model_run":
            runs.append(_alone(seen))
            seen = []
        elif event.get("cat") == "Node" and str(event.get("name", "")).endswith(_KERNEL):
            seen.append(event)
    return runs


def _alone(events: Sequence[Mapping[str, Any]]) -> list[_Event]:
    parents: list[int | None] = [None] * len(events)
    inside = [0] * len(events)
    open_ones: list[int] = []  # events end in the order of the profile: what runs graphs comes after what they ran
    for at in reversed(range(len(events))):
        begun, end = events[at]["ts"], events[at]["ts"] + events[at]["dur"]
        while open_ones and (begun < (start := events[open_ones[-1]]["ts"]) or begun == end == start):
            open_ones.pop()
        if open_ones:
            parents[at] = open_ones[-1]
            inside[open_ones[-1]] += events[at]["dur"]
        if _operator(events[at]) in _RUNS_GRAPHS:
            open_ones.append(at)
    found = []
    for at, event in enumerate(events):
        within: list[str] = []
        parent = parents[at]
        while parent is not None:
            within.insert(0, _name(events[parent]))
            parent = parents[parent]
        alone = max(0, event["dur"] - inside[at]) * 1e-6
        found.append(_Event(_name(event), _operator(event), alone, tuple(within)))
    return found


def _name(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix(_KERNEL)


def _operator(event: Mapping[str, Any]) -> str:
    return str(event["args"].get("op_name", ""))


def _nodes_of(operators: Mapping[tuple[str, ...], str], graph: Nodes) -> dict[tuple[str, ...], Node]:
    """The node of each kernel, which is called after it, where that is certain.

    Kernels do not run in the order in which their nodes are written, so that tells nothing.
    """
    found: dict[tuple[str, ...], Node] = {}
    for key in sorted(operators, key=len):
        within = key[:-1]
        if within and within not in found:
            continue
        graphs = found[within].inner if within else (graph,)
        fitting = [n for each in graphs for n in each.nodes if (n.name, n.operator) == (key[-1], operators[key])]
        if len(fitting) == 1:
            found[key] = fitting[0]
    return found


def _middle_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter."""
    cut = len(values) // 4
    return mean(sorted(values)[cut : len(values) - cut])
