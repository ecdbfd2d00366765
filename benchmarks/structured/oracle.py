"""Whether a cut model computes what it should, judged without any pruner's bookkeeping.

What was removed is read off the cut model itself: cut a copy whose every tensor holds its own positions (`marked`),
and what is left *is* the list of survivors. The yardstick is the untouched original with all other elements set to
zero. Where a norm's channels were removed, it has to average over the survivors: no physically smaller model can do
otherwise. These are counted apart, as EXACT-N.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map

from condensa_core.materialise.double import in_double

TOLERANCE = 1e-10  # of float64 results, which agree to 1e-14 or differ by more than 1e-4

# The flat positions, in the original tensor, of the elements that are left; in the shape of what is left.
Survivors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Finding:
    """`error` is max|difference| over the standard deviation of the expected output, the worst over all outputs.

    `effect` says the same of the original against the zeroed model: where it is not above the tolerance, nothing that
    matters was removed.
    """

    verdict: Literal["EXACT", "EXACT-N", "WRONG", "EMPTY"]
    error: float
    effect: float


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """All floating-point parameters and buffers, by every name they have."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


def mark(model: nn.Module) -> None:
    """Overwrites every tensor with the positions of its elements, in float64."""
    for tensor in tensors_of(model).values():
        tensor.data = torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)


def read_survivors(cut_of_marked: nn.Module, original: nn.Module) -> dict[str, Tensor]:
    """What is left in a cut copy of the marked original.

    A tied tensor may keep one of its names only; a tensor that the cut model does not have, nobody reads.
    """
    left = by_every_name(tensors_of(cut_of_marked), original)
    return {name: tensor.detach().round().long() for name, tensor in left.items()}


def by_every_name(tensors: Mapping[str, Tensor], original: nn.Module) -> dict[str, Tensor]:
    """`tensors` of a smaller model, under all names that the original has for them; those it lacks are left out."""
    names_of: dict[int, list[str]] = {}
    for name, tensor in tensors_of(original).items():
        names_of.setdefault(id(tensor), []).append(name)
    found = {}
    for names in names_of.values():
        known = [name for name in names if name in tensors]
        found.update({name: tensors[name if name in tensors else known[0]] for name in names if known})
    return found


def judge(
    original: nn.Module, cut: nn.Module, survivors: Survivors, inputs: tuple[Any, ...], *, follow_scales: bool = False
) -> Finding:
    """The verdict on a cut model; neither model is changed.

    With `follow_scales`, an attention whose heads became narrower may divide by the root of the new width: a pruner
    that cuts a module cannot keep the old factor, and every change of it is forgiven.
    """
    inputs = tree_map(lambda x: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x, inputs)
    original, cut = copy.deepcopy(original).double().eval(), copy.deepcopy(cut).double().eval()
    zeroed = _zeroed(original, survivors)
    with _attention_scales() as scales:
        actual = _outputs(cut, inputs)
    if not any(y.numel() for y in actual):
        return Finding("EMPTY", 0.0, 0.0)
    expected = _outputs(zeroed, inputs)
    effect = _distance(_outputs(original, inputs), expected)
    plain = _distance(actual, expected)
    if plain <= TOLERANCE:
        return Finding("EXACT", plain, effect)
    _average_over_survivors(zeroed, original, survivors)
    with _attention_scales(scales if follow_scales else None):
        survived = _distance(actual, _outputs(zeroed, inputs))
    return Finding("EXACT-N" if survived <= TOLERANCE else "WRONG", min(plain, survived), effect)


def _outputs(model: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    with torch.no_grad(), in_double():
        return [leaf for leaf in tree_leaves(model(*inputs)) if isinstance(leaf, Tensor)]


def _distance(actual: list[Tensor], expected: list[Tensor]) -> float:
    if [y.shape for y in actual] != [y.shape for y in expected]:
        return float("inf")
    pairs = [(y.double(), z.double()) for y, z in zip(actual, expected, strict=True) if y.numel()]
    worst = [float((y - z).abs().max() / (z.std(correction=0) + 1e-12)) for y, z in pairs]
    return max(worst) if all(error == error for error in worst) else float("inf")


def _zeroed(original: nn.Module, survivors: Survivors) -> nn.Module:
    zeroed = copy.deepcopy(original)
    for name, tensor in tensors_of(original).items():
        left = survivors.get(name)
        if left is None or left.numel() == tensor.numel():
            continue
        values = torch.zeros_like(tensor).flatten()
        values[left.flatten()] = tensor.detach().flatten()[left.flatten()]
        _put(zeroed, name, values.view(tensor.shape), trains=isinstance(tensor, nn.Parameter))
    return zeroed


def _put(model: nn.Module, name: str, tensor: Tensor, *, trains: bool) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, nn.Parameter(tensor) if trains else tensor)


@contextmanager
def _attention_scales(replayed: list[float] | None = None) -> Iterator[list[float]]:
    """Records the softmax scale of every attention of `nn.functional`, or sets it to what was recorded."""
    original, recorded, left = functional.scaled_dot_product_attention, [], list(replayed or [])

    def attention(query: Tensor, *args: Any, scale: float | None = None, **settings: Any) -> Tensor:
        factor = left.pop(0) if left else query.shape[-1] ** -0.5 if scale is None else scale
        recorded.append(factor)
        return original(query, *args, scale=factor, **settings)

    functional.scaled_dot_product_attention = attention
    try:
        yield recorded
    finally:
        functional.scaled_dot_product_attention = original


class _OverSurvivors(nn.Module):
    """A module on the surviving channels alone, as if the others had never been; its output is zero at theirs."""

    def __init__(
        self, small: nn.Module, inputs: Tensor, outputs: Tensor, widths: tuple[int, int], *, channels_first: bool
    ) -> None:
        super().__init__()
        self.small, self.inputs, self.outputs = small, inputs, outputs
        self.widths, self.channels_first = widths, channels_first

    def forward(self, x: Tensor, *args: Any, **settings: Any) -> Tensor:
        dim = 1 if self.channels_first or x.shape[-1] != self.widths[0] else x.ndim - 1
        y = self.small(x.index_select(dim, self.inputs), *args, **settings)
        shape = list(y.shape)
        shape[dim] = self.widths[1]
        return y.new_zeros(shape).index_copy(dim, self.outputs, y)


def _average_over_survivors(zeroed: nn.Module, original: nn.Module, survivors: Survivors) -> None:
    """Lets norms over channels, and convolutions that standardise their weights, see the survivors only."""
    for path, module in original.named_modules():
        left = survivors.get(f"{path}.weight")
        if left is None or left.numel() == module.weight.numel() or not path:
            continue
        if _is_channel_norm(module):
            over = _norm_over(module, path, survivors)
        elif isinstance(module, nn.Conv2d) and "StdConv" in type(module).__name__:
            over = _standardised_over(module, path, survivors)
        else:
            continue
        owner, _, leaf = path.rpartition(".")
        setattr(zeroed.get_submodule(owner), leaf, over)


def _is_channel_norm(module: nn.Module) -> bool:
    per_channel = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    weight = getattr(module, "weight", None)
    return (
        "Norm" in type(module).__name__
        and not isinstance(module, per_channel)
        and not hasattr(module, "running_mean")
        and isinstance(weight, Tensor)
        and weight.ndim == 1
    )


def _narrowed(module: nn.Module, path: str, survivors: Survivors) -> nn.Module:
    small = copy.deepcopy(module)
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        left = survivors.get(f"{path}.{name}")
        if left is not None:
            _put(small, name, tensor.detach().flatten()[left], trains=isinstance(tensor, nn.Parameter))
    return small


def _norm_over(norm: nn.Module, path: str, survivors: Survivors) -> nn.Module:
    left, width = survivors[f"{path}.weight"], len(norm.weight)
    small = _narrowed(norm, path, survivors)
    if isinstance(norm, nn.GroupNorm):
        small.num_channels, small.num_groups = len(left), len((left // (width // norm.num_groups)).unique())
    elif hasattr(norm, "normalized_shape"):
        small.normalized_shape = (len(left),)
    channels_first = isinstance(norm, nn.GroupNorm) or "2d" in type(norm).__name__
    return _OverSurvivors(small, left, left, (width, width), channels_first=channels_first)


def _standardised_over(conv: nn.Conv2d, path: str, survivors: Survivors) -> nn.Module:
    left = survivors[f"{path}.weight"]
    per_filter, per_input = conv.weight[0].numel(), conv.weight[0, 0].numel()
    rows = left[:, 0, 0, 0] // per_filter
    columns = left[:, :, 0, 0] % per_filter // per_input
    group = rows // (conv.out_channels // conv.groups)
    first_of = [int((group == g).nonzero()[0]) for g in group.unique()]
    inputs = torch.cat([group[row] * conv.weight.shape[1] + columns[row] for row in first_of])
    small = _narrowed(conv, path, survivors)
    small.groups, small.in_channels, small.out_channels = len(first_of), len(inputs), len(rows)
    return _OverSurvivors(small, inputs, rows, (conv.in_channels, conv.out_channels), channels_first=True)
