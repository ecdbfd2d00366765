"""Products of low rank as two layers, and what codes say of factors carried over to the weights of these layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.flow.candidate import Ranks, Structure
from condensa_core.flow.stand_in_factors import stand_in_factors
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import kept_positions
from condensa_core.materialise.factor import factored
from condensa_core.materialise.kept import Kept, crossing, cut
from condensa_core.materialise.thin_pair import SIDES, ThinPair
from condensa_core.randomness import Seed
from condensa_core.schemes import Freedom, factor_names, factored_form, freedom_of
from condensa_core.schemes.matrix_view import Factors, MatrixView, view_of


def split(bench: Workbench, small: nn.Module, structure: Structure) -> tuple[nn.Module, Structure]:
    """`small` with two layers in the place of each one whose weight is a product of low rank, where that is cheaper;
    the structure with these layers, and with what is narrow by the names of parameters."""
    kept = surviving(bench, structure)
    factors: dict[str, Factors] = {}
    for form in _forms(structure):
        factors |= {name: cut_factors(pair, kept[name]) if name in kept else pair for name, pair in form.items()}
    if not factors:
        return small, structure
    found = factored(small, factors, bench.example)
    of_factors = {half for name in factors for half in factor_names(name)}
    narrow = {name: dtype for name, dtype in structure.narrow.items() if name not in of_factors}
    for name, pair in found.pairs.items():
        for side, half in zip(SIDES, factor_names(name), strict=True):
            if half in structure.narrow:
                narrow[pair.names[side]] = structure.narrow[half]
    return found.model, replace(structure, narrow=narrow, pairs=found.pairs)


def split_as(bench: Workbench, small: nn.Module, ranks: Ranks) -> nn.Module:
    """`small` with the layers that `split` made, their weights still to be loaded."""
    if not ranks:
        return small
    parameters = dict(small.named_parameters())
    generator = Seed().torch_generator("stand-ins")
    factors: dict[str, Factors] = {}
    for name, (rank, row_dims) in ranks.items():
        shape = tuple(parameters[name].shape)
        view = next(v for v in (view_of(shape, "output"), view_of(shape, "kernel")) if v.row_dims == row_dims)
        # The two layers are proven equal to their product, which zeros would not prove.
        factors[name] = stand_in_factors(view, rank, generator)
    return factored(small, factors, bench.example).model


def cut_factors(factors: Factors, kept: Kept) -> Factors:
    """The factors of the tensor without removed slices."""
    rows, columns = _matrix_positions(factors.view, kept)
    shape = tuple(size if at is None else len(at) for size, at in zip(factors.view.shape, kept, strict=True))
    small = MatrixView(shape, factors.view.order, factors.view.row_dims)
    return Factors(cut(factors.left, (rows, None)), cut(factors.right, (None, columns)), small)


def surviving(bench: Workbench, structure: Structure) -> dict[str, Kept]:
    """The surviving positions of every tensor that loses something; of factors by the names of `factor_names`."""
    kept = kept_positions(bench.graph, structure.keep)
    for form in _forms(structure):
        for name, pair in form.items():
            if name in kept:
                left, right = factor_names(name)
                rows, columns = _matrix_positions(pair.view, kept[name])
                kept |= {left: (rows, None), right: (None, columns)}
    return kept


def freedoms(bench: Workbench, small: nn.Module, structure: Structure) -> list[Freedom]:
    """What may move in the compressed parameters of the cut and split model."""
    there = {name for name, _ in small.named_parameters()}
    kept = surviving(bench, structure)
    found = []
    for code in structure.codes:
        freedom = freedom_of(code, structure.pairs)
        labels, signs = (
            {name: cut(tensor, kept[name]) if name in kept else tensor for name, tensor in part.items()}
            for part in (freedom.labels, freedom.signs)
        )
        labels, signs = (
            {n: t.to(bench.device) for n, t in in_layers(structure.pairs, part).items() if n in there}
            for part in (_tied_groups(structure.pairs, labels), signs)
        )
        found.append(Freedom(labels, signs))
    return found


def in_layers(pairs: Mapping[str, ThinPair], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` by the names that codes use, those of factors laid out as the weights that hold them."""
    found = dict(tensors)
    for name, pair in pairs.items():
        for side, half in zip(SIDES, factor_names(name), strict=True):
            if half in found:
                found[pair.names[side]] = pair.laid_out(side, found.pop(half))
    return found


def out_of_layers(pairs: Mapping[str, ThinPair], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`parameters` and, by the names that codes use, the factors that layers hold."""
    found = dict(parameters)
    for name, pair in pairs.items():
        factors = pair.factors(parameters)
        found |= zip(factor_names(name), (factors.left, factors.right), strict=True)
    return found


def _tied_groups(pairs: Mapping[str, ThinPair], labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`labels` where the groups of a convolution, which have one right factor, move it together."""
    tied = dict(labels)
    last = max((int(label.max()) for label in labels.values() if label.numel()), default=0)
    for name, pair in pairs.items():
        right = factor_names(name)[1]
        if pair.groups > 1 and right in tied:
            own = tied[right] < 0
            count = int(own.sum())
            numbers = torch.arange(last + 1, last + 1 + count, dtype=torch.int32, device=own.device)
            tied[right] = tied[right].masked_scatter(own, numbers)
            last += count
    return tied


def _forms(structure: Structure) -> Iterable[dict[str, Factors]]:
    """The factors of each code that has any, of the uncut model."""
    for code in structure.codes:
        form = factored_form(code)
        if form is not None:
            yield form.factors


def _matrix_positions(view: MatrixView, kept: Kept) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The rows and the columns of the matrix that survive, None where all do."""
    positions, first = tuple(kept[dim] for dim in view.order), view.row_dims
    return _numbers(view.laid_out[:first], positions[:first]), _numbers(view.laid_out[first:], positions[first:])


def _numbers(shape: tuple[int, ...], kept: Kept) -> np.ndarray | None:
    """The row-major numbers of what survives along some axes."""
    return None if all(at is None for at in kept) else np.flatnonzero(crossing(shape, kept))
