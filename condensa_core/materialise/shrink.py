"""The physically smaller model: removed units are cut out of every tensor, and the modules know their new sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from torch import nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.graph.contractions import surviving_groups
from condensa_core.materialise.kept import Kept, cut, kept_positions, require_fit
from condensa_core.materialise.replacement import copy_with


def shrink(model: nn.Module, graph: ModelGraph, keep: Keep) -> nn.Module:
    """A new model of the same classes without the removed units; `model` is not touched.

    Tied parameters stay tied, shared modules shared; dtype, device, `requires_grad` and training flags are those of
    `model`. SchemeError for an impossible `keep`, UsageError for another model than that of `graph`. The caller proves
    the result with `check_equivalence`: only a run shows whether the forward has sizes written out.
    """
    require_fit(model, graph)
    kept = kept_positions(graph, keep)
    small = copy_with(model, {name: partial(cut, kept=positions) for name, positions in kept.items()})
    of_layer: dict[int, tuple[nn.Module, dict[str, Kept]]] = {}
    for name, positions in kept.items():
        path, _, leaf = name.rpartition(".")
        layer = small.get_submodule(path)
        of_layer.setdefault(id(layer), (layer, {}))[1][leaf] = positions
    for layer, cuts in of_layer.values():
        resize = next((_RESIZE[cls] for cls in type(layer).__mro__ if cls in _RESIZE), None)
        if resize is not None:
            resize(layer, cuts)
    if kept and _size(small) >= _size(model):
        raise NotEquivalent(
            f"{type(model).__name__} kept its size though units were removed",
            hint="a __deepcopy__ of its own, or tensors outside of parameters and buffers, may hold the old weights",
        )
    return small


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())


Resize = Callable[[Any, Mapping[str, Kept]], None]


def _resize_linear(layer: Any, cuts: Mapping[str, Kept]) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _resize_conv(layer: Any, cuts: Mapping[str, Kept]) -> None:
    rows = cuts["weight"][0] if "weight" in cuts else None
    if rows is not None and layer.groups > 1:
        before = layer.in_channels if layer.transposed else layer.out_channels
        layer.groups = surviving_groups(rows, before, layer.groups)
    first, second = layer.weight.shape[:2]
    if layer.transposed:
        layer.in_channels, layer.out_channels = first, second * layer.groups
    else:
        layer.in_channels, layer.out_channels = second * layer.groups, first


def _resize_norm(layer: Any, cuts: Mapping[str, Kept]) -> None:
    sized = layer.weight if layer.weight is not None else layer.running_mean
    layer.num_features = len(sized)


def _resize_layer_norm(layer: Any, cuts: Mapping[str, Kept]) -> None:
    layer.normalized_shape = tuple(layer.weight.shape)


def _resize_group_norm(layer: Any, cuts: Mapping[str, Kept]) -> None:
    rows = cuts["weight"][0] if "weight" in cuts else None
    if rows is not None:
        layer.num_groups = surviving_groups(rows, layer.num_channels, layer.num_groups)
    layer.num_channels = len(layer.weight)


def _resize_embedding(layer: Any, cuts: Mapping[str, Kept]) -> None:
    layer.embedding_dim = layer.weight.shape[1]


def _resize_prelu(layer: Any, cuts: Mapping[str, Kept]) -> None:
    layer.num_parameters = len(layer.weight)


def _resize_recurrent(layer: Any, cuts: Mapping[str, Kept]) -> None:
    gates = 4 if isinstance(layer, nn.LSTM) else 3 if isinstance(layer, nn.GRU) else 1
    layer.input_size = layer.weight_ih_l0.shape[1]
    layer.hidden_size = layer.weight_ih_l0.shape[0] // gates
    if layer.proj_size:
        layer.proj_size = layer.weight_hr_l0.shape[0]


_RESIZE: Final[dict[type[nn.Module], Resize]] = {
    nn.Linear: _resize_linear,
    nn.modules.conv._ConvNd: _resize_conv,
    nn.modules.batchnorm._NormBase: _resize_norm,  # BatchNorm1d..3d, SyncBatchNorm, InstanceNorm1d..3d
    nn.LayerNorm: _resize_layer_norm,
    nn.RMSNorm: _resize_layer_norm,
    nn.GroupNorm: _resize_group_norm,
    nn.Embedding: _resize_embedding,
    nn.PReLU: _resize_prelu,
    nn.RNNBase: _resize_recurrent,
}
