"""What calibration data tells of the weights: in what norm an error of each is an error of its layer's output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensa_core.graph.capture import evaluating_unfused
from condensa_core.schemes import Metric
from condensa_core.workload import Batches, seen_running

# A gram matrix of more inputs than this is not gathered (256 MiB in float32): then its diagonal alone is.
LARGEST: Final = 8192

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _Sum:
    """The inputs of one weight: their count, energies, and gram matrix where it is wanted."""

    def __init__(self, gram: bool) -> None:
        self._gram = gram
        self.rows = 0
        self.energy: Tensor | None = None
        self.gram: Tensor | None = None

    def add(self, inputs: Tensor) -> None:
        """samples x n"""
        wide = inputs.double()
        self.rows += len(wide)
        energy = wide.square().sum(0)
        self.energy = energy if self.energy is None else self.energy + energy
        if self._gram and wide.shape[1] <= LARGEST:
            gram = wide.T @ wide
            self.gram = gram if self.gram is None else self.gram.add_(gram)


def input_metrics(
    model: nn.Module, names: Collection[str], batches: Batches, *, gram: bool, samples: int | None = None
) -> dict[str, Metric]:
    """Metrics of the named parameters from one pass over `batches` in their order, at least their first `samples`.

    The model runs in evaluation mode and is not changed.

    H = X X^T / samples of the inputs of linear layers, convolutions (patches), attention's in_proj and the first layer
    of recurrent ones, with `gram`; else, and for grouped convolutions, its diagonal. The rows of an embedding weigh as
    often as their token occurs. Parameters of other kinds, or that did not run, have no metric: the identity holds.
    """
    sums: dict[str, _Sum] = {}
    counts: dict[str, Tensor] = {}
    with _watched(model, frozenset(names), sums, counts, gram), evaluating_unfused(model), torch.no_grad():
        seen = 0
        for inputs, _ in batches:
            with seen_running("the forward pass over calibration data"):
                model(*inputs) if isinstance(inputs, tuple) else model(inputs)
            seen += len(inputs[0] if isinstance(inputs, tuple) else inputs)
            if samples is not None and seen >= samples:
                break
    parameters = dict(model.named_parameters())
    metrics = {}
    for name, found in sums.items():
        if found.energy is None or not found.rows or name in counts:  # as rows and as columns: no one metric is both
            continue
        weight = parameters[name]
        energy = (found.energy / found.rows).to(weight)
        matrix = None if found.gram is None else (found.gram / found.rows).to(weight)
        if weight.ndim > 2 and energy.numel() != weight[0].numel():  # grouped: one set of inputs for each group
            each = energy.reshape(-1, *weight.shape[1:])
            metrics[name] = Metric(each.repeat_interleave(weight.shape[0] // len(each), 0))
        else:
            metrics[name] = Metric(energy.reshape(1, *weight.shape[1:]), matrix)
    for name, count in counts.items():
        if name in sums:
            continue
        share = (count / count.sum().clamp_min(1)).to(parameters[name])
        metrics[name] = Metric(share.unsqueeze(1))
    return metrics


@contextmanager
def _watched(
    model: nn.Module, names: frozenset[str], sums: dict[str, _Sum], counts: dict[str, Tensor], gram: bool
) -> Iterator[None]:
    """Hooks that gather the inputs of every layer which owns one of the parameters."""
    handles = []
    known = {id(parameter): name for name, parameter in model.named_parameters()}  # tied ones by their first name
    for module in model.modules():
        own = {leaf: known[id(p)] for leaf, p in module._parameters.items() if p is not None}
        wanted = {leaf: name for leaf, name in own.items() if name in names}
        watch = _watch(module, wanted, sums, counts, gram)
        if watch is not None:
            handles.append(module.register_forward_hook(watch, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(
    module: nn.Module, wanted: dict[str, str], sums: dict[str, _Sum], counts: dict[str, Tensor], gram: bool
) -> Callable[..., None] | None:
    def gathered(leaf: str, *, whole: bool = True) -> _Sum:
        return sums.setdefault(wanted[leaf], _Sum(gram and whole))

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        x = args[0] if args else next(iter(kwargs.values()))
        if isinstance(module, nn.Embedding):
            count = torch.bincount(x.flatten(), minlength=module.num_embeddings).double()
            counts[wanted["weight"]] = counts.get(wanted["weight"], 0) + count
        elif isinstance(module, nn.Linear):
            gathered("weight").add(x.reshape(-1, module.in_features))
        elif isinstance(module, _CONVOLUTIONS):
            gathered("weight", whole=module.groups == 1).add(_patches(module, x))
        elif isinstance(module, nn.MultiheadAttention):
            if all(y is x for y in (*args[1:3], *(kwargs[k] for k in ("query", "key", "value") if k in kwargs))):
                gathered("in_proj_weight").add(x.reshape(-1, module.embed_dim))
        elif isinstance(module, nn.RNNBase) and isinstance(x, Tensor):
            if "weight_ih_l0" in wanted:
                gathered("weight_ih_l0").add(x.reshape(-1, module.input_size))
            if "weight_hh_l0" in wanted and module.num_layers == 1 and not module.bidirectional:
                steps = output[0] if module.batch_first else output[0].transpose(0, 1)
                if steps.ndim == 3 and not module.proj_size:  # what a step reads is what the one before it gave
                    gathered("weight_hh_l0").add(steps[:, :-1].reshape(-1, module.hidden_size))

    known = (nn.Embedding, nn.Linear, *_CONVOLUTIONS, nn.MultiheadAttention, nn.RNNBase)
    return hook if wanted and isinstance(module, known) else None


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    """(samples x positions) x (in-channels x kernel) of a convolution without its bias."""
    assert isinstance(module, _CONVOLUTIONS)
    spatial = len(module.kernel_size)
    if x.ndim == spatial + 1:
        x = x.unsqueeze(0)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    for dim, (size, step, spread) in enumerate(
        zip(module.kernel_size, module.stride, module.dilation, strict=True), start=2
    ):
        windows = x.unfold(dim, spread * (size - 1) + 1, step)
        x = windows[..., ::spread]
    order = (0, *range(2, 2 + spatial), 1, *range(2 + spatial, 2 + 2 * spatial))
    return x.permute(order).reshape(-1, x.shape[1] * torch.Size(module.kernel_size).numel())
