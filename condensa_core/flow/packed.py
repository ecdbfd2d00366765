"""The packed file of a candidate: the plain one in its smallest form, with what codes know of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.export.packing import PackedFile, pack_onnx
from condensa_core.flow.candidate import Structure, remaining
from condensa_core.flow.splitting import cut_factors, out_of_layers, surviving
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise.kept import Kept, cut
from condensa_core.materialise.thin_pair import SIDES, Side, ThinPair
from condensa_core.schemes import Code, Plain, Product, Scaled, Term, factor_names, factored_form, moved_terms
from condensa_core.schemes.matrix_view import Factors, MatrixView


def packed(
    bench: Workbench, small: nn.Module, shipped: nn.Module, structure: Structure, source: Path, path: Path
) -> PackedFile:
    """The file `source` of `shipped` in its smallest form at `path`; `small` is it before BatchNorm was folded."""
    return pack_onnx(source, path, terms_of(bench, small, shipped, structure))


def terms_of(
    bench: Workbench, small: nn.Module, shipped: nn.Module, structure: Structure
) -> dict[str, tuple[Term, ...]]:
    """What compressed parameters of the shipped model are made of, where their values alone would not tell."""
    kept = surviving(bench, structure)
    before, after = (
        out_of_layers(structure.pairs, {name: p.detach().cpu() for name, p in model.named_parameters()})
        for model in (small, shipped)
    )
    found: dict[str, tuple[Term, ...]] = {}
    for code in remaining(bench, structure):
        for name, terms in _moved(code, structure, before, kept).items():
            if name not in after or name not in before:
                continue
            terms = tuple(_cut_term(_on_cpu(term), kept.get(name)) for term in terms)
            if torch.equal(before[name], after[name]):
                if len(terms) > 1 or not isinstance(terms[0], Plain):
                    found[name] = terms
            elif (scale := _row_scale(before[name], after[name])) is not None:
                plain = (Plain(before[name]),) if len(terms) == 1 and isinstance(terms[0], Plain) else terms
                found[name] = tuple(_scaled(term, scale) for term in plain)
    found = _in_layers(structure, found)
    return {name: terms for name, terms in found.items() if name not in structure.narrow}


def _moved(
    code: Code, structure: Structure, before: Mapping[str, Tensor], kept: Mapping[str, Kept]
) -> dict[str, tuple[Term, ...]]:
    """The terms of a code's tensors after fine-tuning; of products that are two layers, those of the factors."""
    form = factored_form(code)
    terms = moved_terms(code, _moves(code, before, kept))
    if form is None or form.inner is None or form.factors.keys().isdisjoint(structure.pairs):
        return terms
    # Factors and dense tensors may share numbers: they moved together.
    return terms | moved_terms(form.inner, _moves(form.inner, before, kept))


def _moves(code: Code, before: Mapping[str, Tensor], kept: Mapping[str, Kept]) -> dict[str, Tensor]:
    """How far fine-tuning moved each tensor of a code; zero where it was cut, or is no parameter of the model."""
    moves = {}
    for name, tensor in code.decode().items():
        moves[name] = torch.zeros_like(tensor)
        if name in before:
            own = kept.get(name, (None,) * tensor.ndim)
            moves[name][_at(own, tensor.shape)] = before[name].to(tensor.device) - cut(tensor, own)
    return moves


def _in_layers(structure: Structure, found: dict[str, tuple[Term, ...]]) -> dict[str, tuple[Term, ...]]:
    """Terms of factors as those of the weights that hold them, by the names of these."""
    for name, pair in structure.pairs.items():
        for side, half in zip(SIDES, factor_names(name), strict=True):
            if half in found:
                terms = found.pop(half)
                laid_out = terms if pair.form == "linear" else [_laid_out(term, pair, side) for term in terms]
                found[pair.names[side]] = tuple(laid_out)
    return found


def _laid_out(term: Term, pair: ThinPair, side: Side) -> Term:
    if isinstance(term, Scaled):
        scale, shift = (
            None if part is None else _collapsed(pair.laid_out(side, part.expand(term.base.shape)))
            for part in (term.scale, term.shift)
        )
        assert scale is not None
        return Scaled(pair.laid_out(side, term.base), scale, shift)
    return Plain(pair.laid_out(side, term.dense()))


def _collapsed(tensor: Tensor) -> Tensor:
    """The smallest tensor that broadcasts to this one."""
    for dim in range(tensor.ndim):
        first = tensor.narrow(dim, 0, 1)
        if tensor.shape[dim] > 1 and torch.equal(first.expand_as(tensor), tensor):
            tensor = first
    return tensor


def _at(kept: Kept, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Open indices of the surviving positions."""
    every = [np.arange(size) if at is None else at for size, at in zip(shape, kept, strict=True)]
    return tuple(torch.from_numpy(index) for index in np.ix_(*every))


def _on_cpu(term: Term) -> Term:
    if isinstance(term, Plain):
        return Plain(term.values.cpu())
    if isinstance(term, Product):
        return replace(term, left=term.left.cpu(), right=term.right.cpu())
    return Scaled(term.base.cpu(), term.scale.cpu(), None if term.shift is None else term.shift.cpu())


def _cut_term(term: Term, kept: Kept | None) -> Term:
    if kept is None:
        return term
    if isinstance(term, Plain):
        return Plain(cut(term.values, kept))
    if isinstance(term, Scaled):
        parts = [None if part is None else _cut_broadcast(part, kept) for part in (term.base, term.scale, term.shift)]
        assert parts[0] is not None and parts[1] is not None
        return Scaled(parts[0], parts[1], parts[2])
    order = tuple(term.axes.index(axis) for axis in range(len(term.axes)))
    rows, size = 0, 1
    while size < term.left.shape[0]:
        size *= term.shape[rows]
        rows += 1
    view = MatrixView(tuple(term.shape[axis] for axis in term.axes), order, rows)
    return cut_factors(Factors(term.left, term.right, view), kept).product()


def _cut_broadcast(part: Tensor, kept: Kept) -> Tensor:
    """What broadcasts to a tensor, cut along the dimensions in which it has the tensor's size."""
    own = kept[len(kept) - part.ndim :]
    return cut(part, tuple(None if size == 1 else at for size, at in zip(part.shape, own, strict=True)))


def _row_scale(before: Tensor, after: Tensor) -> Tensor | None:
    """The factor of each output by which folding changed a weight; None if something else happened to it."""
    for dim in range(min(2, before.ndim)):  # transposed convolutions have their outputs second
        others = [d for d in range(before.ndim) if d != dim]
        wide = before.double()
        energy = wide.square().sum(others, keepdim=True)
        scale = (wide * after.double()).sum(others, keepdim=True) / torch.where(energy == 0, 1, energy)
        if torch.allclose(wide * scale, after.double(), rtol=1e-5, atol=1e-7 * float(after.abs().max())):
            return scale.to(after.dtype)
    return None


def _scaled(term: Term, scale: Tensor) -> Term:
    if isinstance(term, Plain):
        return Scaled(term.values, scale)
    if isinstance(term, Scaled):
        return Scaled(term.base, term.scale * scale, None if term.shift is None else term.shift * scale)
    rows = scale.expand(tuple(term.shape[axis] for axis in term.axes))
    order = tuple(term.axes.index(axis) for axis in range(len(term.axes)))
    by_row = rows.permute(order).reshape(term.left.shape[0], -1)[:, :1]
    return Product(term.left * by_row, term.right, term.shape, term.axes)
