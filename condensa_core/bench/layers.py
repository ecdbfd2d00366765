"""Where the time of an inference goes, layer by layer, in the names of the model that the file was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.kernels import Kernel, profiled
from condensa_core.bench.layer_names import Place, joined, places_of
from condensa_core.bench.onnx_nodes import Nodes, read_nodes
from condensa_core.bench.target import BenchTarget

# A profile drops fractions of microseconds and costs one or two at each kernel (an addition of two numbers shows as
# 2 us), so ratios of shorter times would be those of the profile.
SHORTEST_S: Final = 5e-6


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

    A layer is the module that the weights of its kernels belong to, in all files that have it. Kernels of no known
    module stand for themselves, in a row of their own for each file. There is no ratio where a file takes less than
    5 us for each kernel of the layer.
    Profiling itself takes a few microseconds a kernel: these times tell shares, `compare` tells speed.
    """
    kernels: dict[str, Sequence[Kernel]] = {}
    places: dict[str, Sequence[Place]] = {}
    for name, path in files.items():
        original = read_nodes(path)

        def placed(found: Sequence[Kernel], graph: Nodes, file: Nodes = original) -> list[Place]:
            return places_of([(kernel.name, kernel.node) for kernel in found], graph, file)

        kernels[name], places[name] = profiled(path, target, feeds[name], placed)
    return side_by_side(kernels, joined(places))


def side_by_side(kernels: Mapping[str, Sequence[Kernel]], places: Mapping[str, Sequence[Place]]) -> list[LayerTime]:
    """The rows of kernels of one or more files and their places."""
    rows: dict[tuple[str, str], dict[str, list[Kernel]]] = {}
    for name, found in kernels.items():
        for kernel, place in zip(found, places[name], strict=True):
            key = ("", place.module) if place.module else (name, place.own)
            rows.setdefault(key, {}).setdefault(name, []).append(kernel)
    first = next(iter(kernels))
    layers = []
    for (_, layer), of_files in rows.items():
        seconds = {name: sum(kernel.seconds for kernel in found) for name, found in of_files.items()}
        countable = {n for n, found in of_files.items() if seconds[n] >= SHORTEST_S * sum(k.runs for k in found)}
        layers.append(
            LayerTime(
                layer,
                seconds,
                {name: "+".join(dict.fromkeys(k.operator for k in found)) for name, found in of_files.items()},
                {
                    name: seconds[first] / seconds[name]
                    for name in seconds
                    if name != first and {first, name} <= countable
                },
            )
        )
    return sorted(layers, key=lambda each: (first not in each.mean_s, -max(each.mean_s.values())))
