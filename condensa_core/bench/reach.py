"""Which weights of an ONNX file reach each kernel of the graph that ONNX Runtime made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from condensa_core.bench.onnx_nodes import Node, Nodes
from condensa_core.bench.origins import Origins

# What ONNX Runtime 1.31 puts before the names of values and weights of half precision that it casts to float.
_CAST: Final = ("InsertedPrecisionFreeCast_", "FusedBack_")
_NCHWC: Final = "_nchwc"  # ONNX Runtime calls a convolution in its own layout after the value that it makes


class Reach:
    """Which weights of the file reach each node of the optimised graph."""

    def __init__(self, optimised: Nodes, file: Origins) -> None:
        self.file = file
        self._stored = {self._in_file(name): w for each in optimised.graphs() for name, w in each.weights.items()}
        # the values of the file that a value of the optimised graph was made from; None where that cannot be told
        self._made_from: dict[str, frozenset[str] | None] = {}
        self._parts: dict[int, list[Node] | None] = {}
        for node in optimised.every_node():
            read, made = self._reads(node), self._makes(node)
            known, starts = self._known(read), self._starts(node)
            self._parts[id(node)] = None if known is None or not starts else self._between(known, starts)
            opaque = known is None or (not starts and any(map(self._is_substance, read)))
            for value in made:
                if value not in file.values:
                    self._made_from[value] = None if opaque else frozenset(known or ()) | frozenset(starts)

    def prepares(self, node: Node) -> bool:
        """Whether what a kernel computes depends on weights alone."""
        return all(value in self.file.behind for value in self._makes(node))

    def weights(self, node: Node) -> frozenset[str]:
        """Those that can be parameters, of the file, that the node reads or has taken in."""
        found: set[str] = set()
        for value in self._reads(node):
            if value in self.file.behind:
                found |= self.file.behind[value]
            elif self._is_substance(value):
                found |= self.file.alike(self._stored[value])
        if self.prepares(node):
            for value in self._makes(node):
                found |= self.file.behind[value]
        for part in self._parts[id(node)] or ():
            for value in part.inputs:
                found |= self.file.behind.get(value, frozenset())
        return frozenset(name for name in found if self.file.weights[name].is_substance)

    def reader(self, node: Node, weights: frozenset[str]) -> Node | None:
        """The node of the file that computes with the largest of a kernel's weights; None without any."""
        if not weights:
            return None
        heaviest = self.file.heaviest(weights)[0]
        parts = [
            part
            for part in self._parts[id(node)] or ()
            if any(heaviest in self.file.behind.get(value, ()) for value in part.inputs)
        ]
        return parts[0] if len(parts) == 1 else self.file.user(heaviest)

    def _reads(self, node: Node) -> list[str]:
        return list(map(self._in_file, node.inputs))

    def _makes(self, node: Node) -> list[str]:
        return list(map(self._in_file, node.outputs))

    def _in_file(self, value: str) -> str:
        """The value of the file that this is, cast to another precision."""
        if value in self.file.values:
            return value
        plain = next((value.removeprefix(prefix) for prefix in _CAST if value.startswith(prefix)), value)
        return plain if plain in self.file.values else value

    def _known(self, values: Iterable[str]) -> frozenset[str] | None:
        """The values of the file that these were made from."""
        known: set[str] = set()
        for value in values:
            if not value or value in self._stored or value in self.file.behind:
                continue
            if value in self.file.values:
                known.add(value)
                continue
            made = self._made_from.get(value)
            if made is None:
                return None
            known |= made
        return frozenset(known)

    def _starts(self, node: Node) -> list[str]:
        """The values of the file that a kernel makes."""
        made = [value for value in self._makes(node) if value in self.file.maker]
        if not made and node.name.endswith(_NCHWC):
            value = self._in_file(node.name.removesuffix(_NCHWC))
            made = [value] if value in self.file.maker else []
        return made

    def _between(self, known: frozenset[str], starts: Sequence[str]) -> list[Node] | None:
        """The nodes of the file that make `starts` of `known` values and weights; None if they take others."""
        found: dict[int, Node] = {}
        waiting = list(starts)
        while waiting:
            value = waiting.pop()
            if not value or value in known or value in self.file.behind:
                continue
            node = self.file.maker.get(value)
            if node is None:  # an input of the model or of a loop
                return None
            if id(node) not in found:
                found[id(node)] = node
                waiting += node.inputs
        return list(found.values())

    def _is_substance(self, value: str) -> bool:
        return value in self._stored and self._stored[value].is_substance
