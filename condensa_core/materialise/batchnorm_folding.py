"""BatchNorm folded into the layer before it: the same function with fewer operators."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn
from torch.fx import Node
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from condensa_core.errors import NotEquivalent
from condensa_core.graph.capture import Capture, capture, module_of
from condensa_core.graph.propagation import base_name
from condensa_core.materialise.equivalence import check_equivalence

_FUSE = {
    nn.Conv1d: fuse_conv_bn_eval,
    nn.Conv2d: fuse_conv_bn_eval,
    nn.Conv3d: fuse_conv_bn_eval,
    nn.ConvTranspose1d: lambda conv, norm: fuse_conv_bn_eval(conv, norm, transpose=True),
    nn.ConvTranspose2d: lambda conv, norm: fuse_conv_bn_eval(conv, norm, transpose=True),
    nn.ConvTranspose3d: lambda conv, norm: fuse_conv_bn_eval(conv, norm, transpose=True),
    nn.Linear: fuse_linear_bn_eval,
}


# (layer, norm) names
Pairs = Sequence[tuple[str, str]]


def fold_batchnorm(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> nn.Module:
    """A copy in evaluation mode where each BatchNorm that alone reads a convolution or linear layer is folded into it.

    The folded norms become `nn.Identity`. Left alone are shared modules, layers whose tensors the forward reads
    elsewhere, norms with batch statistics, norms over another dimension than a linear layer's features, transposed
    convolutions in groups, and whatever a check in float64 against `model` shows to change it: folding refuses no
    model. `model` is not touched. WorkloadError if it cannot be exported.
    """
    return BatchNormFolding()(model, example_inputs)


class BatchNormFolding:
    """`fold_batchnorm` for one model after another: what modules of the same names and types tell is asked once.

    Capturing a model takes most of the time of folding it, and candidates of one model differ in widths alone. Every
    result is checked as by `fold_batchnorm`; where what is known does not fit, the model is captured after all.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, type], ...], Pairs] = {}

    def __call__(self, model: nn.Module, example_inputs: tuple[Tensor, ...]) -> nn.Module:
        arrangement = tuple((name, type(module)) for name, module in model.named_modules(remove_duplicate=False))
        if arrangement in self._known:
            try:
                return _checked(model, self._known[arrangement], example_inputs)
            except NotEquivalent:
                pass
        found = _foldable(capture(model, example_inputs))
        pairs = self._known[arrangement] = _sound(model, found, example_inputs)
        return _checked(model, pairs, example_inputs)


def _checked(model: nn.Module, pairs: Pairs, example_inputs: tuple[Tensor, ...]) -> nn.Module:
    check_equivalence(model, _folded(copy.deepcopy(model).double(), pairs), example_inputs)
    return _folded(copy.deepcopy(model), pairs)


def _sound(model: nn.Module, pairs: Pairs, example_inputs: tuple[Tensor, ...]) -> Pairs:
    """Those of the pairs that can be folded together and leave the function as it is; all of them, as a rule."""
    held: list[tuple[str, str]] = []
    for tried in (pairs, *([pair] for pair in pairs)):
        try:
            _checked(model, [*held, *tried], example_inputs)
        except NotEquivalent:
            continue
        held += tried
        if len(held) == len(pairs):
            break
    return held


def _folded(model: nn.Module, pairs: Pairs) -> nn.Module:
    model.eval()
    for layer, norm in pairs:
        before = model.get_submodule(layer)
        _set(model, layer, _FUSE[type(before)](before, model.get_submodule(norm)))
        _set(model, norm, nn.Identity())
    return model


def _foldable(captured: Capture) -> Pairs:
    """The pairs of which every module runs once and owns its tensors alone."""
    runs: dict[int, int] = {}
    norms = []
    for node in captured.graph.nodes:
        if node.op == "call_function" and (module := captured.modules.get(module_of(node))) is not None:
            runs[id(module)] = runs.get(id(module), 0) + 1
            if base_name(node) == "batch_norm":
                norms.append(node)
    names: dict[int, int] = {}
    for module in captured.modules.values():
        names[id(module)] = names.get(id(module), 0) + 1
    tied = {alias.rpartition(".")[0] for alias in captured.aliases} | {
        first.rpartition(".")[0] for first in captured.aliases.values()
    }
    read: dict[str, set[Node]] = {}
    for placeholder, name in captured.tensors.items():
        read.setdefault(name.rpartition(".")[0], set()).update(placeholder.users)
    pairs = []
    for node in norms:
        before = node.all_input_nodes[0]
        layer, norm = module_of(before), module_of(node)
        modules = captured.modules.get(layer), captured.modules.get(norm)
        if (
            type(modules[0]) in _FUSE
            and isinstance(modules[1], nn.modules.batchnorm._BatchNorm)
            and modules[1].running_mean is not None
            and len(before.users) == 1
            and _takes_a_norm(modules[0], before)
            and not (read.get(layer, set()) | read.get(norm, set())) - {before, node}
            and all(runs[id(module)] == names[id(module)] == 1 for module in modules)
            and not {layer, norm} & tied
        ):
            pairs.append((layer, norm))
    return pairs


def _takes_a_norm(layer: nn.Module | None, node: Node) -> bool:
    """Whether the channels that a norm after it tells apart are the rows of its weight."""
    if isinstance(layer, nn.Linear):
        return bool(node.meta["val"].ndim == 2)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    return not layer.transposed or layer.groups == 1


def _set(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
