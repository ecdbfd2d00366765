"""Branches that may vanish as a whole: what an addition adds to a stream, when its last layer can be set to zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Final

from torch.fx import Node

from condensa_core.errors import SchemeError, UsageError
from condensa_core.graph.capture import Capture, shape_of
from condensa_core.graph.channels import Branch
from condensa_core.graph.families import layer_of
from condensa_core.graph.propagation import argument, base_name


def branches_of(captured: Capture) -> tuple[Branch, ...]:
    """Every operand of an addition that is zero once one layer's tensors are, with all that serves this operand alone.

    Neither operand may be broadcast, and the layer's tensors are read nowhere else: removing the branch is then exactly
    zeroing that layer, and the addition becomes its other operand.
    """
    readers = Counter(name for node, name in captured.tensors.items() for _ in node.users)
    found: list[tuple[Node, Node, tuple[str, ...], list[str]]] = []
    for node in captured.graph.nodes:
        if base_name(node) not in ("add", "add_") or argument(node, 2, "alpha", 1) != 1:
            continue
        operands = [source for source in node.args[:2] if isinstance(source, Node)]
        shapes = {shape_of(node), *(shape_of(source) for source in operands)}
        if len(operands) < 2 or len(shapes) > 1 or operands[0] is operands[1]:
            continue
        for end in operands:
            zeroed = _zeroing(captured, end)
            inside = _serving_only(node, end)
            layers = _layers(captured, inside)
            if zeroed and all(readers[name] == 1 for name in zeroed) and layer_of(zeroed[0]) in layers:
                found.append((node, end, zeroed, layers))
    names = _names([layers for *_, layers in found], captured)
    return tuple(
        Branch(name, tuple(layers), zeroed, addition, end)
        for name, (addition, end, zeroed, layers) in zip(names, found, strict=True)
    )


def branches_named(branches: Sequence[Branch], names: Collection[str]) -> list[Branch]:
    """The branches of these names; SchemeError for an unknown one, or two that leave nothing of an addition."""
    if isinstance(names, str):
        raise UsageError(f"branches are named in a list, got the text {names!r}", hint=f"write [{names!r}]")
    known = {branch.name: branch for branch in branches}
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = f"its branches: {', '.join(known) or 'none'}"
        raise SchemeError(f"the model has no branch {unknown[0]!r}", hint=hint)
    found = [known[name] for name in dict.fromkeys(names)]
    for one, other in combinations(found, 2):
        if one.addition is other.addition:
            raise SchemeError(f"branches {one.name!r} and {other.name!r} are all that one addition adds")
    return found


def _zeroing(captured: Capture, end: Node) -> tuple[str, ...]:
    """The parameters that make `end` zero: those of the layer behind it, through what makes zero of zero."""
    while base_name(end) in _PASSING:
        end = end.all_input_nodes[0]
    if base_name(end) not in _LAYERS:
        return ()
    first = _LAYERS[base_name(end)]
    tensors = [argument(end, position, name) for position, name in ((first, "weight"), (first + 1, "bias"))]
    if not isinstance(tensors[0], Node) or any(
        isinstance(tensor, Node) and tensor not in captured.tensors for tensor in tensors
    ):
        return ()
    return tuple(captured.tensors[tensor] for tensor in tensors if isinstance(tensor, Node))


def _serving_only(addition: Node, end: Node) -> set[Node]:
    """The calls whose values reach the output through this operand of the addition only."""
    inside: set[Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node in inside or node.op != "call_function":
            continue
        if all(user in inside or (user is addition and node is end) for user in node.users):
            inside.add(node)
            waiting += node.all_input_nodes
    return inside


def _layers(captured: Capture, inside: set[Node]) -> list[str]:
    """Layers all of whose tensors are read by these calls alone, in the order they run."""
    layers: dict[str, None] = {}
    for node in captured.graph.nodes:
        if node in inside:
            for source in node.all_input_nodes:
                if source in captured.tensors and all(user in inside for user in source.users):
                    layers.setdefault(layer_of(captured.tensors[source]))
    return list(layers)


def _names(branches: list[list[str]], captured: Capture) -> list[str]:
    """The innermost module that holds a branch's layers (norms need not lie in it); numbered where two share one."""
    names: list[str] = []
    for layers in branches:
        working = [name for name in layers if "Norm" not in type(captured.modules.get(name)).__name__] or layers
        parts = [name.split(".") for name in working]
        shared = 0
        while all(len(part) > shared and part[: shared + 1] == parts[0][: shared + 1] for part in parts):
            shared += 1
        name = ".".join(parts[0][:shared]) or working[-1]
        taken = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{taken + 1}" if taken else name)
    return names


# Operators with zero for zero and one tensor that varies, and where each layer has its weight; its bias comes next.
_PASSING: Final = frozenset(
    {
        "alias",
        "clone",
        "contiguous",
        "detach",
        "dropout",
        "dropout_",
        "feature_dropout",
        "flatten",
        "permute",
        "reshape",
    }
    | {"squeeze", "to", "transpose", "unflatten", "unsqueeze", "view", "_to_copy", "_unsafe_view", "roll"}
)
_LAYERS: Final = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear", "batch_norm"), 1),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1),
    **dict.fromkeys(("layer_norm", "group_norm", "rms_norm"), 2),
}
