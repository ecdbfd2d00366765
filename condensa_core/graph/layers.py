"""Modules with weights as a recipe's selectors see them: names, roles, costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.fx import Node

from condensa_core.graph.capture import Capture, example_size, module_of, modules_of, shape_of
from condensa_core.graph.channels import Layer
from condensa_core.graph.example import samples_of
from condensa_core.graph.families import layer_of
from condensa_core.graph.operators import rule_for
from condensa_core.graph.pointwise import pointwise
from condensa_core.graph.propagation import base_name

_CONV = nn.modules.conv._ConvNd
_NORM = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.PReLU)


def layers_of(captured: Capture, macs: Mapping[Node, int], outputs: Mapping[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """Every module that owns parameters, in the model's order; `outputs` are the shapes that modules returned.

    The MACs of a call belong to the layer whose tensors it multiplies, whoever calls it (attention multiplies with its
    output projection); those of other products to the innermost layer that forms them. Roles:

    - first: computes from the model's input, with no layer before it; last: no layer comes after it
      (norms and activations are not counted as layers in either);
    - depthwise: a convolution with one input channel per group; pointwise: kernel size 1 everywhere;
    - downsample: a pointwise convolution with a stride, or a convolution on a residual shortcut: its output joins an
      addition whose other operand comes from the same input through more than one layer;
    - embedding, recurrent: by module class.
    """
    flow = _Flow(captured)
    names: dict[int, str] = {}  # a module with parameters -> its first name
    for name, module in captured.modules.items():
        if name and any(True for _ in module.parameters(recurse=False)):
            names.setdefault(id(module), name)
    works: Counter[str] = Counter()
    for node, count in macs.items():
        inside = [names.get(id(captured.modules.get(path))) for path in reversed(modules_of(node))]
        works[flow.weighted.get(node) or next((name for name in inside if name), "")] += count
    layers = []
    for name in names.values():
        module = captured.modules[name]
        parameters = dict(module.named_parameters(recurse=False))
        calls = [node for node in flow.weighted if flow.weighted[node] == name]
        aliases = {other for other, same in captured.modules.items() if same is module}
        shapes = {outputs[alias] for alias in aliases & outputs.keys()}
        # What the module returned, where it is called and works on the input; else what its tensors were used for.
        ends = [node for node in flow.varying if shape_of(node) in shapes and not aliases.isdisjoint(modules_of(node))]
        end = next(reversed(ends or calls), None)
        layers.append(
            Layer(
                name=name,
                type=type(module).__name__,
                roles=frozenset(_roles(name, module, calls, flow)),
                parameters={key: tuple(value.shape) for key, value in parameters.items()},
                macs=works[name],
                output_shape=_of_one_sample(end, samples_of(captured.example_inputs)) if end is not None else (),
                next_type=_next_type(captured, calls[-1]) if calls else None,
            )
        )
    return tuple(layers)


def _of_one_sample(node: Node, samples: int) -> tuple[int, ...]:
    """The shape of a node's value without the batch: the dimension that holds samples, or several places of each."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return ()
    sizes = [example_size(size) for size in value.shape]
    open_sizes = [dim for dim, size in enumerate(value.shape) if isinstance(size, torch.SymInt)]
    dim = next((dim for dim in open_sizes or range(len(sizes)) if sizes[dim] and sizes[dim] % samples == 0), None)
    if dim is None:
        return tuple(sizes)
    places = [] if sizes[dim] == samples else [sizes[dim] // samples]
    return (*sizes[:dim], *places, *sizes[dim + 1 :])


def _roles(name: str, module: nn.Module, calls: list[Node], flow: _Flow) -> set[str]:
    roles = set()
    if any(node in flow.first for node in calls):
        roles.add("first")
    if any(node in flow.last for node in calls):
        roles.add("last")
    if isinstance(module, _CONV):
        pointwise_kernel = set(module.kernel_size) == {1}
        if module.groups == module.in_channels > 1:
            roles.add("depthwise")
        elif pointwise_kernel:
            roles.add("pointwise")
        if (pointwise_kernel and set(module.stride) != {1}) or any(flow.is_shortcut(node) for node in calls):
            roles.add("downsample")
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        roles.add("embedding")
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        roles.add("recurrent")
    return roles


class _Flow:
    """Which nodes run which layer, and what comes before and after."""

    def __init__(self, captured: Capture) -> None:
        self._order = {node: position for position, node in enumerate(captured.graph.nodes)}
        norms = {name for name, module in captured.modules.items() if isinstance(module, _NORM)}
        self.weighted: dict[Node, str] = {}  # a node that works on the input's data with a layer's parameters -> layer
        owner: dict[Node, str | None] = {}  # nodes that do not depend on the input -> the layer they belong to
        self.varying: list[Node] = []  # nodes that depend on the input
        after: set[Node] = set()  # nodes that some layer has worked on
        self.first: set[Node] = set()
        for node in captured.graph.nodes:
            name = captured.tensors.get(node)
            if node.op == "placeholder" and (name is not None or node.name.startswith("c_")):
                owner[node] = layer_of(name) if name else None
                continue
            inputs = node.all_input_nodes
            owners = [owner[source] for source in inputs if owner.get(source) is not None]
            if inputs and all(source in owner for source in inputs):
                owner[node] = owners[0] if owners else None
                continue
            self.varying.append(node)
            below = any(source in after for source in inputs)
            if owners and node.op == "call_function":
                self.weighted[node] = str(owners[0])
            if node in self.weighted and self.weighted[node] not in norms:
                if not below:
                    self.first.add(node)
                below = True
            if below:
                after.add(node)
        self._layers = {node for node, layer in self.weighted.items() if layer not in norms}
        before: set[Node] = set()  # nodes that some layer still works on
        self.last: set[Node] = set()
        for node in reversed(captured.graph.nodes):
            above = any(user in before or user in self._layers for user in node.users)
            if above:
                before.add(node)
            elif node in self._layers:
                self.last.add(node)

    def is_shortcut(self, conv: Node) -> bool:
        """Whether `conv` is the short way to an addition whose other operand took a longer way from the same input."""
        source, addition, arm = conv.all_input_nodes[0], conv, conv
        while base_name(addition) not in ("add", "add_"):
            if len(addition.users) != 1 or (addition is not conv and addition in self._layers):
                return False
            arm, addition = addition, next(iter(addition.users))
            if rule_for(addition) is not pointwise and base_name(addition) != "batch_norm":
                return False
        others = [node for node in addition.all_input_nodes if node is not arm]
        return any(self._layers_between(source, other) > 1 for other in others)

    def _layers_between(self, source: Node, target: Node) -> int:
        """The most layers on any way from one node to another; -1 if there is none."""
        depth = {source: 0}
        between = [n for n, at in self._order.items() if self._order[source] < at <= self._order[target]]
        for node in between:
            ways = [depth[before] for before in node.all_input_nodes if before in depth]
            if ways:
                depth[node] = max(ways) + (node in self._layers)
        return depth.get(target, -1)


def _next_type(captured: Capture, node: Node) -> str | None:
    """The class of the module that reads a node first; None if a function does."""
    for user in node.users:
        module = captured.modules.get(module_of(user))
        if module is not None and not any(module.children()) and module_of(user):
            return type(module).__name__
    return None
