"""The physically smaller model: removed units are cut out of every tensor, and the modules know their new sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from torch import nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.graph.contractions import removes_whole_groups
from condensa_core.materialise.kept import cut, kept_positions
from condensa_core.materialise.replacement import copy_with


def shrink(model: nn.Module, graph: ModelGraph, keep: Keep) -> nn.Module:
    """A new model of the same classes without the removed units; `model` is not touched.

    Tied parameters stay tied, shared modules shared; dtype, device, `requires_grad` and training flags are those of
    `model`. SchemeError for an impossible `keep`. The caller proves the result with `check_equivalence`: only a run
    shows whether the forward has sizes written out.
    """
    kept = kept_positions(graph, keep)
    small = copy_with(model, {name: partial(cut, kept=positions) for name, positions in kept.items()})
    touched = {name.rpartition(".")[0] for name in kept}
    for name in touched:
        resize = _resize_for(small.get_submodule(name))
        if resize is not None:
            resize(small.get_submodule(name))
    if kept and _size(small) >= _size(model):
        raise NotEquivalent(
            f"{type(model).__name__} kept its size though units were removed",
            hint="a __deepcopy__ of its own, or tensors outside of parameters and buffers, may hold the old weights",
        )
    return small


def _size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())


# Every function is idempotent and reads only the cut tensors, so that a shared module may come twice.
def _resize_linear(layer: Any) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _resize_conv(layer: Any) -> None:
    if layer.transposed:
        into, per_group = layer.weight.shape[0], layer.weight.shape[1]
        if removes_whole_groups(layer.groups, layer.in_channels, layer.out_channels):
            layer.groups = into // (layer.in_channels // layer.groups)
        layer.in_channels, layer.out_channels = into, per_group * layer.groups
    else:
        out, per_group = layer.weight.shape[0], layer.weight.shape[1]
        if removes_whole_groups(layer.groups, layer.in_channels, layer.out_channels):
            layer.groups = out // (layer.out_channels // layer.groups)
        layer.in_channels, layer.out_channels = per_group * layer.groups, out


def _resize_norm(layer: Any) -> None:
    sized = layer.weight if layer.weight is not None else layer.running_mean
    layer.num_features = len(sized)


def _resize_embedding(layer: Any) -> None:
    layer.embedding_dim = layer.weight.shape[1]


def _resize_prelu(layer: Any) -> None:
    layer.num_parameters = len(layer.weight)


_RESIZE: Final[dict[type[nn.Module], Callable[[Any], None]]] = {
    nn.Linear: _resize_linear,
    nn.modules.conv._ConvNd: _resize_conv,
    nn.modules.batchnorm._NormBase: _resize_norm,  # BatchNorm1d..3d, SyncBatchNorm, InstanceNorm1d..3d
    nn.Embedding: _resize_embedding,
    nn.PReLU: _resize_prelu,
}


def _resize_for(module: nn.Module) -> Callable[[Any], None] | None:
    return next((_RESIZE[cls] for cls in type(module).__mro__ if cls in _RESIZE), None)
