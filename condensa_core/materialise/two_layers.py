"""A layer whose weight is a product, as two thin layers that run one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor, nn
from torch.nn.utils import skip_init

from condensa_core.materialise.thin_pair import form_of, laid_out
from condensa_core.schemes import Factors

# Subclasses may do anything with their weight.
SPLITTABLE: Final = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class FactoredLinear(nn.Sequential):
    """Two linear layers, `right` and then `left`, that show the weight and bias of the one they replace.

    nn.TransformerEncoderLayer hands these to one fused operator while gradients are off.
    """

    @property
    def weight(self) -> Tensor:
        """The product, computed anew."""
        return self.left.weight @ self.right.weight  # type: ignore[operator, union-attr]

    @property
    def bias(self) -> Tensor | None:
        """The second layer's."""
        return self.left.bias  # type: ignore[return-value, union-attr]


@dataclass(frozen=True)
class Thin:
    """The settings of the two convolutions, by axis of the kernel: (right, left)."""

    kernel: tuple[list[int], list[int]]
    stride: tuple[list[int], list[int]]
    padding: tuple[list[int] | str, list[int] | str]
    dilation: tuple[list[int], list[int]]

    @classmethod
    def of(cls, factors: Factors, stride: Sequence[int], padding: Sequence[int] | str, dilation: Sequence[int]) -> Thin:
        """Each axis of the kernel is run over by the factor that has it, as the one convolution ran over it."""
        first = factors.view.row_dims - 1  # so many axes are with the rows, that is, with the left factor

        def shared(settings: Sequence[int], idle: int) -> tuple[list[int], list[int]]:
            right, left = list(settings), [idle] * len(settings)
            right[:first], left[:first] = left[:first], right[:first]
            return right, left

        return cls(
            kernel=shared(factors.view.shape[2:], 1),
            stride=shared(stride, 1),
            # "same" and "valid" mean no padding where the kernel is 1 wide.
            padding=(padding, padding) if isinstance(padding, str) else shared(padding, 0),
            dilation=shared(dilation, 1),
        )

    def multiplications(self, factors: Factors, groups: int) -> tuple[int, int]:
        """Of the two layers and of the one they replace, at each position of the output.

        A right factor that strides only along its own axes has more positions than the output has.
        """
        positions = 1
        for stride in self.stride[1]:
            positions *= stride
        both = factors.left.numel() + groups * factors.right.numel() * positions
        return both, factors.view.rows * factors.view.columns


def two_layers(layer: nn.Module, factors: Factors) -> nn.Sequential | str:
    """`right` and `left` in the order in which they run; or the reason why the layer stays one.

    Its weight is not read, its bias is taken over as it is; device, dtype, mode and `requires_grad` are the layer's.
    """
    assert isinstance(layer, SPLITTABLE)
    if not factors.rank:
        return "its rank is 0"
    if isinstance(layer, nn.Embedding):
        if layer.max_norm is not None:
            return "max_norm rescales rows of its weight"
        return _cheaper(factors) or _built(nn.Sequential, layer, factors, _embedding(layer, factors))
    if isinstance(layer, nn.Linear):
        return _cheaper(factors) or _built(FactoredLinear, layer, factors, _linear(layer, factors))
    thin = Thin.of(factors, layer.stride, layer.padding, layer.dilation)
    reason = no_cheaper(*thin.multiplications(factors, layer.groups))
    return reason or _built(nn.Sequential, layer, factors, _convolution(layer, factors, thin))


def no_cheaper(both: int, one: int) -> str | None:
    """The reason not to split, if it is one."""
    return f"two layers would take {both} multiplications where one takes {one}" if both >= one else None


def _cheaper(factors: Factors) -> str | None:
    return no_cheaper(factors.left.numel() + factors.right.numel(), factors.view.rows * factors.view.columns)


_Layers = list[tuple[str, nn.Module]]  # the two layers by name, without their weights


def _linear(layer: nn.Linear, factors: Factors) -> _Layers:
    into, out = layer.in_features, layer.out_features
    return [
        ("right", skip_init(nn.Linear, into, factors.rank, bias=False)),
        ("left", skip_init(nn.Linear, factors.rank, out, bias=layer.bias is not None)),
    ]


def _embedding(layer: nn.Embedding, factors: Factors) -> _Layers:
    table = skip_init(
        nn.Embedding,
        layer.num_embeddings,
        factors.rank,
        padding_idx=layer.padding_idx,
        scale_grad_by_freq=layer.scale_grad_by_freq,
        sparse=layer.sparse,
    )
    return [("left", table), ("right", skip_init(nn.Linear, factors.rank, layer.embedding_dim, bias=False))]


def _convolution(layer: Any, factors: Factors, thin: Thin) -> _Layers:
    inner = factors.rank * layer.groups

    def thin_layer(at: int, into: int, out: int, bias: bool) -> nn.Module:
        padding = thin.padding[at]
        return skip_init(
            type(layer),
            into,
            out,
            tuple(thin.kernel[at]),
            stride=tuple(thin.stride[at]),
            padding=padding if isinstance(padding, str) else tuple(padding),
            dilation=tuple(thin.dilation[at]),
            groups=layer.groups,
            bias=bias,
            padding_mode=layer.padding_mode,
        )

    return [
        ("right", thin_layer(0, layer.in_channels, inner, bias=False)),
        ("left", thin_layer(1, inner, layer.out_channels, bias=layer.bias is not None)),
    ]


def _built(container: type[nn.Sequential], layer: Any, factors: Factors, layers: _Layers) -> nn.Sequential:
    old, form, groups = layer.weight, form_of(layer), getattr(layer, "groups", 1)
    weights = {
        "left": laid_out("left", factors.left, factors.view, form, groups),
        "right": laid_out("right", factors.right, factors.view, form, groups),
    }
    for name, one in layers:
        one.weight = nn.Parameter(weights[name].to(old.device, old.dtype).contiguous(), old.requires_grad)
        if getattr(one, "bias", None) is not None:
            one.bias = layer.bias
    made = container(OrderedDict(layers))
    return made.train(layer.training)
