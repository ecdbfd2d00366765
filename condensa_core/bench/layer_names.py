"""The module that each kernel of an optimised graph computes for, by the weights that provably reach it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from condensa_core.bench.onnx_nodes import Node, Nodes
from condensa_core.bench.origins import Origins
from condensa_core.bench.reach import Reach


@dataclass(frozen=True)
class Place:
    """What a kernel stands under: its module, or `own`, the name of its node, which other files may use for another.

    `digests` are those of the weights that it reads.
    """

    module: str | None
    own: str
    digests: frozenset[bytes] = frozenset()


def places_of(kernels: Sequence[tuple[str, Node | None]], optimised: Nodes, original: Nodes) -> list[Place]:
    """The place of each kernel, of its name and its node in the optimised graph.

    Its weights are those that it reads itself, known again by name or by content, and those of the nodes of the
    original file between its inputs and its outputs: where these bound a part of the graph, it computes that part. Of
    them the largest says which module it is, or if it has no name of a parameter: what the exporter noted at the node
    that reads it, the other weights, the path in the node's name, the bias that is added next. A weight that several
    kernels read says nothing. Paths are believed in files where they agree with the names of parameters.
    Kernels without weights are no module's, also where the exporter noted one: other files may have no such notes, and
    what the rows of a module hold must be the same in all.
    """
    file = Origins(original)
    reached = Reach(optimised, file)
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
    def by(cls, name: str, node: Node | None, reached: Reach) -> _Taken:
        if node is None:
            return cls(name, None, frozenset(), None, False)
        weights = reached.weights(node)
        return cls(name, node, weights, reached.reader(node, weights), reached.prepares(node))

    @property
    def path(self) -> str | None:
        return _path(self.reader) if self.reader is not None else None

    @property
    def own(self) -> str:
        """The name of the node that reads the weights, or its own."""
        return (self.reader.name if self.reader is not None else "") or self.name


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
