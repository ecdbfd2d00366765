"""Low rank made real: layers whose weight is a product become two, where that is cheaper."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from condensa_core.errors import SchemeError
from condensa_core.graph.capture import evaluating_unfused
from condensa_core.materialise.equivalence import check_equivalence
from condensa_core.materialise.factor_program import split_calls
from condensa_core.materialise.replacement import copy_with
from condensa_core.materialise.thin_pair import ThinPair, form_of
from condensa_core.materialise.two_layers import SPLITTABLE, two_layers
from condensa_core.schemes import Factors


@dataclass(frozen=True, eq=False)
class Factored:
    """A model with layers made two, proven equal to the products."""

    model: nn.Module
    pairs: dict[str, ThinPair]  # weights whose layer is two now, and the weights of these
    dense: dict[str, str]  # the other weights, multiplied out, and why
    error: float  # the largest relative error against the model of dense products, in float64

    @property
    def split(self) -> tuple[str, ...]:
        """The weights whose layer is two now."""
        return tuple(self.pairs)


def factored(model: nn.Module, factors: Mapping[str, Factors], example_inputs: tuple[Tensor, ...]) -> Factored:
    """A copy of `model` where each weight named in `factors` is their product: by two layers, or else multiplied out.

    Linear layers, embeddings and convolutions become two where that takes fewer multiplications: `NAME.right` and
    then `NAME.left`, the other way round for embeddings. Weights stay dense that have no such layer of their own: those
    of recurrent layers and attention, of subclasses and parametrised layers, tied ones, and those that others read. In
    a captured program, every call of such an operator becomes two, whatever module it came from.
    Biases, modes, dtypes and `requires_grad` stay; `model` is not touched. SchemeError where the shapes differ;
    NotEquivalent if the result does not compute what the products do, to a relative 1e-10 in float64.
    Source: Idelbayev and Carreira-Perpinan, "Low-rank compression of neural nets", CVPR 2020, figure 1.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    for name, pair in factors.items():
        if name not in named or named[name].shape != pair.view.shape:
            found = f"is {tuple(named[name].shape)}" if name in named else "is no parameter of the model"
            raise SchemeError(f"factors make {name} of shape {pair.view.shape}, which {found}")
    # As they are stored: the proof is of the factors that the layers get.
    stored = {
        name: replace(pair, left=pair.left.to(named[name]), right=pair.right.to(named[name]))
        for name, pair in factors.items()
    }
    small = copy_with(model, {name: _constant(pair.dense()) for name, pair in stored.items()})
    if isinstance(small, GraphModule):
        pairs, dense = split_calls(small, stored)
    else:
        pairs, dense = _split_modules(small, stored, _read_by_others(model, example_inputs))
    expected = copy_with(
        model, {name: _constant(_exact(pair) if name in pairs else pair.dense()) for name, pair in stored.items()}
    )
    return Factored(small, pairs, dense, check_equivalence(expected, small, example_inputs))


def _constant(tensor: Tensor) -> Any:
    return lambda old: tensor


def _exact(pair: Factors) -> Tensor:
    return replace(pair, left=pair.left.double(), right=pair.right.double()).dense()


def _split_modules(
    model: nn.Module, factors: Mapping[str, Factors], read: set[str]
) -> tuple[dict[str, ThinPair], dict[str, str]]:
    """Put two layers in the place of one where possible, in place: these, and the reasons of the others, by weight."""
    owners: dict[int, set[int]] = {}  # parameter -> modules that hold it
    places: dict[int, list[str]] = {}  # module -> its names
    for path, module in model.named_modules(remove_duplicate=False):
        places.setdefault(id(module), []).append(path)
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
    pairs: dict[str, ThinPair] = {}
    dense: dict[str, str] = {}
    made: dict[int, ThinPair] = {}  # shared modules stay shared
    layers = {name: model.get_submodule(name.rpartition(".")[0]) for name in factors}
    for name, pair in factors.items():
        layer, path = layers[name], name.rpartition(".")[0]
        if id(layer) in made:
            pairs[name] = made[id(layer)]
            continue
        reason = _indivisible(layer, name.rpartition(".")[2])
        if reason is None and len(owners[id(layer.weight)]) > 1:
            reason = "it is tied to another layer's"
        if reason is None and not read.isdisjoint(places[id(layer)]):
            reason = "the model reads attributes of its layer"
        two = reason or two_layers(layer, pair)
        if isinstance(two, str):
            dense[name] = two
        elif not path:
            dense[name] = "the model is this layer alone"
        else:
            groups = getattr(layer, "groups", 1)
            names = f"{path}.left.weight", f"{path}.right.weight"
            pairs[name] = made[id(layer)] = ThinPair(*names, pair.view, pair.rank, form_of(layer), groups)
            for place in places[id(layer)]:
                parent, _, leaf = place.rpartition(".")
                setattr(model.get_submodule(parent), leaf, two)
    return pairs, dense


def _indivisible(layer: nn.Module, leaf: str) -> str | None:
    if type(layer) not in SPLITTABLE:
        return f"no two layers stand for {type(layer).__name__}"
    if leaf != "weight":
        return f"it is the {leaf} of its layer"
    if any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)):
        return "its layer has hooks"
    return None


def _read_by_others(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> set[str]:
    """Names of layers whose parameters or settings are read from outside of them while the model runs."""
    spied = copy.deepcopy(model)
    read: set[str] = set()
    running: list[nn.Module] = []
    for path, module in list(spied.named_modules()):
        if type(module) in SPLITTABLE:
            module.__class__ = _spying(type(module), path, read, running, frozenset(_visible(module)))
    # Fused attention reads the weights of its linear layers, and may (see FactoredLinear).
    with evaluating_unfused(spied), torch.no_grad():
        spied(*example_inputs)
    return read


def _visible(module: nn.Module) -> set[str]:
    return {*module._parameters, *(name for name in vars(module) if name[0] != "_" and name != "training")}


def _spying(
    cls: type[nn.Module], path: str, read: set[str], running: list[nn.Module], visible: frozenset[str]
) -> type[nn.Module]:
    def __getattribute__(self: nn.Module, name: str) -> Any:
        if name in visible and not (running and running[-1] is self):
            read.add(path)
        return object.__getattribute__(self, name)

    def __call__(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        running.append(self)
        try:
            return cls.__call__(self, *args, **kwargs)
        finally:
            running.pop()

    return type(cls.__name__, (cls,), {"__getattribute__": __getattribute__, "__call__": __call__})
