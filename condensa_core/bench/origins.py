"""Who makes each value of an ONNX file and of which weights, and the modules that these belong to by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from condensa_core.bench.onnx_nodes import Node, Nodes, Weight

# A parameter's own name ends the module's: `features.0.weight.levels` is one of features.0, by whoever stored it.
_PARAMETER: Final = re.compile(r"(.+?)\.(\w*(?:weight|bias)\w*)(?:\..*)?$")
_RECURRENT: Final = re.compile(r"(?:weight|bias)_[ih]h_(l\d+)")


def module_of(parameter: str) -> str | None:
    """The module that has a parameter; of a recurrent one `module.l0` for each of its layers. None for other names."""
    found = _PARAMETER.match(parameter)
    if found is None:
        return None
    layer = _RECURRENT.match(found[2])
    return f"{found[1]}.{layer[1]}" if layer else found[1]


class Origins:
    """Who makes each value of the file, and the weights behind those that depend on no input.

    Names that two branches use for different things stand for nothing.
    """

    def __init__(self, graph: Nodes) -> None:
        self.maker: dict[str, Node] = {}
        self.readers: dict[str, list[Node]] = {}
        self.weights: dict[str, Weight] = {}
        self.values: set[str] = set()
        twice: set[str] = set()
        for each in graph.graphs():
            names = [*each.inputs, *each.weights, *(value for node in each.nodes for value in node.outputs if value)]
            twice |= self.values & set(names)
            self.values |= set(names)
            self.weights |= each.weights
        self.values -= twice
        self.behind = {name: frozenset((name,)) for name in self.weights if name in self.values}
        self._read_at: dict[str, int] = {}
        for at, node in enumerate(graph.every_node()):
            for value in node.inputs:
                self._read_at |= dict.fromkeys(self.behind.get(value, ()), at)
                self.readers.setdefault(value, []).append(node)
            constant = not node.inner and all(value in self.behind for value in node.inputs if value)
            if constant and (node.inputs or node.operator == "Constant"):
                found = frozenset[str]().union(*(self.behind[value] for value in node.inputs if value))
                for value in node.outputs:
                    if value in self.values:
                        self.behind.setdefault(value, found)
            self.maker |= {value: node for value in node.outputs if value in self.values}
        self._by_content: dict[bytes, list[str]] | None = None

    def prepares(self, node: Node) -> bool:
        """Whether a kernel computes what depends on weights alone."""
        return all(value in self.behind for value in node.outputs)

    def alike(self, weight: Weight) -> frozenset[str]:
        """The one weight of the file with the same content, perhaps transposed; nothing if there are several."""
        if self._by_content is None:
            self._by_content = {}
            for name, each in self.weights.items():
                if name in self.values and each.is_substance:
                    for digest in {each.digest(), each.digest(transposed=True) if len(each.shape) == 2 else None}:
                        if digest is not None:
                            self._by_content.setdefault(digest, []).append(name)
        found = self._by_content.get(weight.digest() or b"", [])
        return frozenset(found) if len(found) == 1 else frozenset()

    def heaviest(self, weights: Iterable[str]) -> list[str]:
        """The largest first; of equals, that which is read last: what comes before was fused into it."""
        return sorted(weights, key=lambda name: (-self.weights[name].elements, -self._read_at.get(name, 0), name))

    def user(self, weight: str) -> Node | None:
        """The one node that computes with a weight, behind those that only prepare it."""
        found: dict[int, Node] = {}
        waiting, seen = [weight], {weight}
        while waiting:
            for node in self.readers.get(waiting.pop(), []):
                if not self.prepares(node):
                    found[id(node)] = node
                    continue
                waiting += (value for value in node.outputs if value not in seen)
                seen |= set(node.outputs)
        return next(iter(found.values())) if len(found) == 1 else None

    def named(self, weights: frozenset[str], shared: set[str], reader: Node | None) -> str | None:
        """The module by the name of the largest weight, what is noted where it is read, or the names of others.

        The names of `shared` weights, which other kernels read too, do not tell.
        """
        noted = (reader.module or None) if reader is not None else None
        names = [None if weight in shared else module_of(weight) for weight in self.heaviest(weights)]
        return (names[0] if names else None) or noted or next((name for name in names if name), None)

    def by_next_bias(self, weights: frozenset[str], shared: set[str], reader: Node | None) -> str | None:
        """The module of the bias that is all that is done with a product next, if it has its columns.

        An exporter that stores a weight transposed gives it a name of its own; the bias has kept its name.
        """
        if reader is None:
            return None
        heaviest = self.heaviest(weights)[0]
        if len(self.weights[heaviest].shape) < 2:
            return None
        after = [node for value in reader.outputs for node in self.readers.get(value, [])]
        if [node.operator for node in after] != ["Add"]:
            return None
        for value in after[0].inputs:
            for name in self.heaviest(self.behind.get(value, ())):
                fits = self.weights[name].elements in self.weights[heaviest].shape
                if fits and name not in shared and (module := module_of(name)):
                    return module
        return None
