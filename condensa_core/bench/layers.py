"""Where the time of an inference goes, layer by layer, in the names of the model that the file was made from."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.onnx_nodes import Node, Nodes, read_nodes
from condensa_core.bench.onnxruntime_runner import session_options
from condensa_core.bench.target import BenchTarget

PROFILED_S: Final = 0.5
FEWEST_RUNS, MOST_RUNS = 5, 200
WARM_UP_RUNS = 2
_KERNEL: Final = "_kernel_time"
# A parameter's own name ends the module's: `features.0.weight.levels` is one of features.0, by whoever stored it.
_PARAMETER: Final = re.compile(r"(.+?)\.(?:\w*(?:weight|bias)\w*)(?:\..*)?$")


@dataclass(frozen=True)
class Kernel:
    """A kernel of the runtime by its own name, and its mean seconds in one inference."""

    name: str
    operator: str
    seconds: float


@dataclass(frozen=True)
class LayerTime:
    """A layer in every file that has it: mean seconds an inference, what computes it, and how many times faster it is
    than in the first file."""

    layer: str
    mean_s: Mapping[str, float]
    operators: Mapping[str, str]
    ratios: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def layer_times(files: Mapping[str, Path], target: BenchTarget, feeds: Mapping[str, Feeds]) -> list[LayerTime]:
    """Of ONNX files by the profile of ONNX Runtime, one file after another; longest first, what the first lacks last.

    A layer is the module that the weights of its kernels belong to; kernels without weights stand for themselves.
    Profiling itself takes a few microseconds a kernel: these times tell shares, `compare` tells speed.
    """
    times: dict[str, dict[str, float]] = {}
    operators: dict[str, dict[str, list[str]]] = {}
    for name, path in files.items():
        kernels = profile(path, target, feeds[name])
        for kernel, layer in zip(kernels, layers_of(kernels, read_nodes(path)), strict=True):
            seconds = times.setdefault(layer, {})
            seconds[name] = seconds.get(name, 0.0) + kernel.seconds
            operators.setdefault(layer, {}).setdefault(name, []).append(kernel.operator)
    first = next(iter(files))
    found = [
        LayerTime(
            layer,
            seconds,
            {name: "+".join(dict.fromkeys(kinds)) for name, kinds in operators[layer].items()},
            {name: seconds[first] / s for name, s in seconds.items() if name != first and first in seconds and s},
        )
        for layer, seconds in times.items()
    ]
    return sorted(found, key=lambda each: (first not in each.mean_s, -max(each.mean_s.values())))


def profile(path: Path, target: BenchTarget, feeds: Feeds) -> list[Kernel]:
    """The kernels of one inference in order, timed by ONNX Runtime over 5 to 200 inferences after 2 others.

    It takes wall time: what the scheduler does to a few of them must not count, so means are of the middle half.
    """
    import onnxruntime

    options = session_options(onnxruntime, target)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        runs, started = 0, time.perf_counter()
        while runs < WARM_UP_RUNS + FEWEST_RUNS or (runs < MOST_RUNS and time.perf_counter() - started < PROFILED_S):
            session.run(None, dict(feeds))
            runs += 1
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _kernels(events, runs)


def layers_of(kernels: Sequence[Kernel], graph: Nodes) -> list[str]:
    """The layer of each kernel: the module whose weights it reads, what was fused into it included.

    A kernel belongs to the node that it is called after, or whose output it is called after; the nodes before that
    which have no kernel of their own were fused into it. Where a weight has no name, the bias added next has.
    """
    maker = {output: node for node in graph.nodes for output in node.outputs}
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    named = {node.name: node for node in graph.nodes if node.name}
    anchors = [_anchor(kernel.name, named, maker) for kernel in kernels]
    kept = {id(node) for node in anchors if node is not None}
    return [
        kernel.name if node is None else _layer(_fused(node, maker, kept), node, graph.weights, readers)
        for kernel, node in zip(kernels, anchors, strict=True)
    ]


def _anchor(kernel: str, named: Mapping[str, Node], maker: Mapping[str, Node]) -> Node | None:
    plain = kernel.removesuffix("_nchwc")
    if plain in named or plain in maker:
        return named.get(plain) or maker.get(plain)
    parts = [part for part in re.split(r"[\s/]|_token_\d+|_quant$|_fused\w*$", plain) if part]
    return next((found for part in parts if (found := named.get(part) or maker.get(part))), None)


def _fused(node: Node, maker: Mapping[str, Node], kept: set[int]) -> list[Node]:
    """The node, and those before it that have no kernel of their own."""
    found, waiting = [node], [node]
    while waiting:
        for tensor in waiting.pop().inputs:
            before = maker.get(tensor)
            if before is not None and id(before) not in kept and all(before is not other for other in found):
                found.append(before)
                waiting.append(before)
    return found


def _layer(nodes: Sequence[Node], anchor: Node, weights: Mapping[str, int], readers: Mapping[str, list[Node]]) -> str:
    noted = next((node.module for node in nodes if node.module and set(node.inputs) & set(weights)), None)
    owner = noted or _owner(nodes, weights)
    if owner is None and any(tensor in weights for node in nodes for tensor in node.inputs):
        # an exporter that stores a weight transposed gives it a name of its own; the bias added next has kept its name
        after = [node for output in anchor.outputs for node in readers.get(output, [])]
        owner = _owner(after, weights) if [node.operator for node in after] == ["Add"] else None
    return owner or anchor.module or anchor.name or anchor.outputs[0]


def _owner(nodes: Iterable[Node], weights: Mapping[str, int]) -> str | None:
    """The module of the largest parameter that the nodes read."""
    read = {tensor for node in nodes for tensor in node.inputs if tensor in weights}
    owned = [(weights[name], found[1]) for name in read if (found := _PARAMETER.match(name))]
    return max(owned)[1] if owned else None


def _kernels(events: Sequence[Mapping[str, Any]], runs: int) -> list[Kernel]:
    taken: dict[str, list[float]] = {}
    operators: dict[str, str] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            name = name.removesuffix(_KERNEL)
            taken.setdefault(name, []).append(float(event["dur"]) * 1e-6)
            operators[name] = str(event["args"].get("op_name", ""))
    kernels = []
    for name, seconds in taken.items():
        each = max(1, round(len(seconds) / runs))  # more than one where it is in a loop
        kernels.append(Kernel(name, operators[name], each * _middle_mean(seconds[WARM_UP_RUNS * each :])))
    return kernels


def _middle_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter."""
    cut = len(values) // 4
    return mean(sorted(values)[cut : len(values) - cut])
