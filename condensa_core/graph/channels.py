"""The records of channel coupling: which slices of which tensors must vanish together.

A *unit* is the smallest thing that can be removed: one channel identity, with every slice of every parameter and
buffer that carries it. A *family* is a set of units with the same signature (they touch the same tensors along the same
dims), so its units can be ranked against each other and counted: the output channels of a convolution, a whole residual
stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:  # torch is heavy, and whoever only reads the records of a plan need not wait for it
    from torch.fx import Node

    from condensa_core.graph.capture import Capture

# produces: rows of a layer that computes the channel (convolution filter, linear neuron, embedding column)
# follows:  elements that travel with the channel (its bias, BatchNorm weight/bias/running statistics, depthwise filter)
# consumes: input columns of a layer that reads the channel
Side = Literal["produces", "follows", "consumes"]

# How a smaller model is made: the user's own modules with smaller tensors, or the captured program with these.
Route = Literal["module", "program"]

# What users call a unit: one channel, several that only go together, an attention head (with all that share its keys),
# a hidden unit of a recurrent layer (all its gates).
Unit = Literal["channel", "group", "head", "hidden unit"]


@dataclass(frozen=True, eq=False)
class Member:
    """The slices of one tensor that belong to the units of a family.

    `index` is `units x k`, int64: row u lists the k positions along dimension `dim` of tensor `name` (a `state_dict`
    key) that exist only because unit u exists. k > 1 when, for instance, a flattened h x w map feeds a linear layer.
    """

    name: str
    dim: int
    index: np.ndarray
    side: Side


@dataclass(frozen=True, eq=False)
class Family:
    """Units that share a signature. `name` is the first producing layer; `layers` are all producing modules, in order.

    Where a layer's channels fall into several families (half of them joins a residual stream), the later ones are
    called `name#2`, `name#3`. Parameters of the model itself count as layers of their own name.
    """

    name: str
    size: int  # units
    members: tuple[Member, ...]
    layers: tuple[str, ...]
    unit: Unit = "channel"
    # Operators that average over these channels: once some are gone, over the survivors. Empty: every cut is exact.
    averaged: tuple[str, ...] = ()
    roots: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # the class of each unit, in `Anatomy`

    def __repr__(self) -> str:
        averaged = f", averaged by {', '.join(self.averaged)}" if self.averaged else ""
        return f"<Family {self.name!r}: {self.size} units ({self.unit}) of {', '.join(self.layers)}{averaged}>"


@dataclass(frozen=True)
class Frozen:
    """Channels of `layer` that cannot be removed, and why (`operator`: the ATen name that stopped the propagation)."""

    layer: str
    reason: str
    operator: str | None = None
    line: str = ""  # of the user's code, as file:line


@dataclass(frozen=True)
class Layer:
    """One module with weights, as a recipe's selectors see it. Costs are for one sample."""

    name: str
    type: str  # class name: Conv2d, Linear, ...
    roles: frozenset[str]  # first, last, depthwise, pointwise, downsample, embedding, recurrent
    parameters: Mapping[str, tuple[int, ...]]  # weight: (64, 3, 3, 3), ...
    macs: int  # of its own tensors, and of products that it forms itself; those of layers inside it are theirs
    output_shape: tuple[int, ...]  # of what the module returns, without the batch
    next_type: str | None = None  # class name of the module that follows, such as BatchNorm2d


# The units that survive, by family name: a boolean vector as long as the family. Families left out are kept whole.
Keep = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Branch:
    """A branch that may vanish as a whole: one operand of an addition, with the layers that serve it alone.

    With the tensors in `zeroed` at zero the branch adds nothing; removing it turns `addition` into its other operand.
    """

    name: str
    layers: tuple[str, ...]
    zeroed: tuple[str, ...]
    addition: Node
    operand: Node


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What every value of the captured program carries, so that the program itself can be cut.

    `carried` gives the classes along each dimension of a node's value (-1 everywhere along a dimension that carries
    nothing is written None), a list of such for a node with several values. `averaging` has the nodes that take a
    statistic over channels, with the position of these in their first input.
    """

    capture: Capture
    labels: int  # how many there are: classes are numbered below it
    carried: Mapping[Node, Any]
    averaging: Mapping[Node, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """What one `torch.export` of the model taught: layers, coupled families, what is frozen, operators met."""

    layers: tuple[Layer, ...]
    families: tuple[Family, ...]
    frozen: tuple[Frozen, ...]
    operators: Mapping[str, int]  # ATen target -> count
    unknown_operators: Mapping[str, str]  # ATen target -> module it was met in; channels through it are frozen
    macs: int  # of one sample, multiply-accumulates of convolutions and matrix products
    parameters: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # every parameter and buffer, by first name
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of tied tensors -> first name
    branches: tuple[Branch, ...] = field(default=(), repr=False)
    anatomy: Anatomy | None = field(default=None, repr=False)  # None for graphs made by hand

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layer{'' if len(self.layers) == 1 else 's'}"
        families = f"{len(self.families)} famil{'y' if len(self.families) == 1 else 'ies'}"
        costs = f"{self.parameters} parameters, {self.macs} MACs"
        return f"<ModelGraph: {layers}, {families}, {len(self.frozen)} frozen, {costs}>"

    def family(self, name: str) -> Family:
        """The family of that name (KeyError if there is none)."""
        for family in self.families:
            if family.name == name:
                return family
        raise KeyError(name)

    def branch(self, name: str) -> Branch:
        """The branch of that name (KeyError if there is none)."""
        for branch in self.branches:
            if branch.name == name:
                return branch
        raise KeyError(name)

    def layer(self, name: str) -> Layer:
        """The layer of that module name (KeyError if there is none)."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)
