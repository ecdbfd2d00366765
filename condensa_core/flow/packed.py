"""The packed file of a candidate: the plain one in its smallest form, with what codes know of their tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.export.packing import PackedFile, pack_onnx
from condensa_core.flow.candidate import Structure, cut_factors
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import kept_positions
from condensa_core.materialise.kept import Kept, cut
from condensa_core.schemes import Plain, Product, Scaled, Term, moved_terms
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
    kept = kept_positions(bench.graph, structure.keep)
    before = {name: p.detach().cpu() for name, p in small.named_parameters()}
    after = {name: p.detach().cpu() for name, p in shipped.named_parameters()}
    found: dict[str, tuple[Term, ...]] = {}
    for code in structure.codes:
        decoded = {name: dense.cpu() for name, dense in code.decode().items()}
        moves = {}
        for name, dense in decoded.items():
            moves[name] = torch.zeros_like(dense)
            if name in before:
                own = kept.get(name, (None,) * dense.ndim)
                moves[name][_at(own, dense.shape)] = before[name] - cut(dense, own)
        for name, terms in moved_terms(code, moves).items():
            if name not in after or name not in before or name in structure.narrow:
                continue
            terms = tuple(_cut_term(term, kept[name]) if name in kept else term for term in terms)
            if torch.equal(before[name], after[name]):
                if len(terms) > 1 or not isinstance(terms[0], Plain):
                    found[name] = terms
            elif (scale := _row_scale(before[name], after[name])) is not None:
                plain = (Plain(before[name]),) if len(terms) == 1 and isinstance(terms[0], Plain) else terms
                found[name] = tuple(_scaled(term, scale) for term in plain)
    return found


def _at(kept: Kept, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Open indices of the surviving positions."""
    every = [np.arange(size) if at is None else at for size, at in zip(shape, kept, strict=True)]
    return tuple(torch.from_numpy(index) for index in np.ix_(*every))


def _cut_term(term: Term, kept: Kept) -> Term:
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
