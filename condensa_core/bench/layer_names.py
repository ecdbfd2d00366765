"""The module that each kernel of an optimised graph computes for, by the weights that provably reach it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from condensa_core.bench.onnx_nodes import Node, Nodes, Weight

# What ONNX Runtime 1.31 puts before the names of values and weights of half precision that it casts to float.
_CAST: Final = ("InsertedPrecisionFreeCast_", "FusedBack_")
_NCHWC: Final = "_nchwc"  # ONNX Runtime calls a convolution in its own layout after the value that it makes
# A parameter's own name ends the module's: `features.0.weight.levels` is one of features.0, by whoever stored it.
_PARAMETER: Final = re.compile(r"(.+?)\.(\w*(?:weight|bias)\w*)(?:\..*)?$")
_RECURRENT: Final = re.compile(r"(?:weight|bias)_[ih]h_(l\d+)")


@dataclass(frozen=True)
class Place:
    """What a kernel stands under: its module, or `own`, the name of its node, which other files may use for another.

    `digests` are those of the weights that it reads.
    """

    module: str | None
    own: str
    digests: frozenset[bytes] = frozenset()


def module_of(parameter: str) -> str | None:
    """The module that has a parameter; of a recurrent one `module.l0` for each of its layers. None for other names."""
    found = _PARAMETER.match(parameter)
    if found is None:
        return None
    layer = _RECURRENT.match(found[2])
    return f"{found[1]}.{layer[1]}" if layer else found[1]


def places_of(kernels: Sequence[tuple[str, Node | None]], optimised: Nodes, original: Nodes) -> list[Place]:
    """The place of each kernel, of its name and its node in the optimised graph.

    Its weights are those that it reads itself, known again by name or by content, and those of the nodes of the
    original file between its inputs and its outputs: where these bound a part of the graph, it computes that part. Of
    them the largest says which module it is, or if it has no name of a parameter: what the exporter noted at the node
    that reads it, the other weights, the path in the node's name, the bias that is added next. A weight that several
    kernels read says nothing. Paths are believed in files where they agree with the names of parameters.
    """
    file = _Original(original)
    reached = _Reach(optimised, file)
    taken = [_Taken.by(name, node, reached) for name, node in kernels]
    counts = Counter(weight for kernel in taken if not kernel.prepares for weight in kernel.weights)
    shared = {weight for weight, count in counts.items() if count > 1}
    known = [file.named(kernel.weights, shared, kernel.reader) for kernel in taken]
    told = [(kernel.path, module) for kernel, module in zip(taken, known, strict=True) if kernel.path and module]
    believed = bool(told) and all(path == module for path, module in told)
    places = []
    for kernel, module in zip(taken, known, strict=True):
        found = module or (kernel.path if believed else None)
        found = found or file.by_next_bias(kernel.weights, shared, kernel.reader)
        digests = frozenset[bytes]() if kernel.node is None else _digests(kernel.node, optimised)
        places.append(Place(found, kernel.own, digests))
    return places


@dataclass(frozen=True)
class _Taken:
    """What a kernel takes in: weights of the file, and the node of the file that computes with the largest of them.

    `prepares` tells whether what it computes depends on weights alone.
    """

    name: str
    node: Node | None
    weights: frozenset[str]
    reader: Node | None
    prepares: bool

    @classmethod
    def by(cls, name: str, node: Node | None, reached: _Reach) -> _Taken:
        if node is None:
            return cls(name, None, frozenset(), None, False)
        weights = reached.weights(node)
        return cls(name, node, weights, reached.reader(node, weights), reached.prepares(node))

    @property
    def path(self) -> str | None:
        return _path(self.reader) if self.weights and self.reader is not None else None

    @property
    def own(self) -> str:
        """The name of the node that reads the weights, or its own."""
        return (self.reader.name if self.weights and self.reader is not None else "") or self.name


def _path(node: Node) -> str | None:
    """The modules in a name such as `/stage1/stage1.0/conv1/Conv`."""
    *scopes, last = node.name.removeprefix("/").split("/")
    if not node.name.startswith("/") or not re.fullmatch(rf"{re.escape(node.operator)}(_\d+)?", last):
        return None
    modules: list[str] = []
    for scope in scopes:
        if modules and scope.startswith(modules[-1] + "."):
            modules.pop()
        modules.append(scope)
    return ".".join(modules) or None


def _digests(node: Node, graph: Nodes) -> frozenset[bytes]:
    """Of the weights with two dimensions or more that a node reads."""
    stored = (each.weights[name] for each in graph.graphs() for name in node.inputs if name in each.weights)
    return frozenset(
        digest for weight in stored if len(weight.shape) > 1 and weight.is_substance and (digest := weight.digest())
    )


class _Original:
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
        if not weights or reader is None:
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


class _Reach:
    """Which weights of the file reach each node of the optimised graph."""

    def __init__(self, optimised: Nodes, file: _Original) -> None:
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
        """The node of the file that computes with the largest of a kernel's weights; without any, what it ends with."""
        if not weights:
            return next((self.file.maker[value] for value in self._starts(node)), None)
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


def joined(files: Mapping[str, Sequence[Place]]) -> dict[str, list[Place]]:
    """The places of the kernels of several files, with the modules that another file tells of the same weights.

    A weight that lost its name in one file is known by its content, where one module alone has it in another.
    """
    owners: dict[bytes, set[str]] = {}
    for places in files.values():
        for place in places:
            for digest in place.digests if place.module else ():
                owners.setdefault(digest, set()).add(place.module or "")
    found = {}
    for name, places in files.items():
        taken = Counter(digest for place in places for digest in place.digests)
        found[name] = [
            place if place.module else replace(place, module=_told(place, owners, taken)) for place in places
        ]
    return found


def _told(place: Place, owners: Mapping[bytes, set[str]], taken: Mapping[bytes, int]) -> str | None:
    telling = [digest for digest in place.digests if len(owners.get(digest, ())) == 1 and taken[digest] == 1]
    told = set().union(*(owners[digest] for digest in telling))
    return told.pop() if len(told) == 1 else None
