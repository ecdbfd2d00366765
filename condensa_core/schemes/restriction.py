"""What is left of a code when other rules remove slices of its tensors: for counting, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from condensa_core.schemes.affine import AffineCode
from condensa_core.schemes.codebook import BookCode
from condensa_core.schemes.compose import ComposedCode
from condensa_core.schemes.contract import Code, Target
from condensa_core.schemes.entries import Layout
from condensa_core.schemes.groups import Groups, groups_of
from condensa_core.schemes.half import HalfCode
from condensa_core.schemes.lowrank_code import LowRankCode
from condensa_core.schemes.nm import FineGrained
from condensa_core.schemes.positions import Positions, Scattered
from condensa_core.schemes.signs import SignCode
from condensa_core.schemes.sparse import SparseCode
from condensa_core.schemes.sum import SumCode

Masks = Mapping[str, Tensor]


def restricted(code: Code, left: Masks) -> Code:
    """The code of the entries in `left` (boolean, by the names of `decode()`; default: all), whose `bits()` are what
    storing these alone takes; shapes stay, and `decode()` is zero elsewhere or means nothing.

    `left` are whole slices, as removed channels leave them. Numbers of a book that nothing goes to any more are left
    out, and a pinned zero or a magnitude with the last of their entries; factors that would hold no fewer numbers than
    what is left of their product are multiplied out.
    """
    if isinstance(code, ComposedCode):
        return _composition(code, left)
    if isinstance(code, SumCode):
        return SumCode(tuple(restricted(one, left) for one in code.codes))
    if isinstance(code, SparseCode):
        return _sparse(code, left)
    if isinstance(code, BookCode):
        return _book(code, left)
    if isinstance(code, SignCode):
        layout = _layout(code.layout, left)
        signs = _picked(code.layout, code.signs, layout)
        return replace(code, signs=signs, layout=layout, learned=code.learned and signs.numel() > 0)
    if isinstance(code, LowRankCode):
        return _products(code, left, multiply_out=True)
    if isinstance(code, HalfCode):
        halves = {n: half.masked_fill(~left[n], 0) if n in left else half for n, half in code.halves.items()}
        return replace(code, halves=halves, alive=_both(code.alive, left, halves))
    if isinstance(code, AffineCode):
        return replace(code, alive=_both(code.alive, left, code.levels))
    return code  # units: they have no bits besides their values


def _both(alive: Masks, left: Masks, names: Masks) -> dict[str, Tensor]:
    """Entries that live and are left; names that lose nothing have no mask."""
    found = {name: mask for name, mask in alive.items() if name in names}
    for name, mask in left.items():
        if name in names:
            found[name] = found[name] & mask if name in found else mask
    return found


def _composition(code: ComposedCode, left: Masks) -> ComposedCode:
    codes: list[Code] = []
    now = left
    for at, one in enumerate(code.codes):
        if isinstance(one, LowRankCode):
            products = _products(one, now, multiply_out=at == len(code.codes) - 1)
            codes.append(products)
            now = products.alive
        else:
            codes.append(restricted(one, now))
    passed = Target(code.passed.tensors, alive=_both(code.passed.alive, left, code.passed.tensors))
    return ComposedCode(tuple(codes), passed)


def _products(code: LowRankCode, left: Masks, *, multiply_out: bool) -> LowRankCode:
    """Factors without the rows and columns that are gone. Those that a next code compresses stay factors."""
    alive = dict(code.alive)
    factors, dense = dict(code.factors), dict(code.dense)
    for name in code.ranks:
        if name not in left:
            continue
        alive[name] = alive[name] & left[name] if name in alive else left[name]
        if name not in factors:
            continue
        pair = factors[name]
        rectangle = pair.view.rectangle(alive[name])
        assert rectangle is not None, "whole slices leave a rectangle"
        rows, columns = rectangle
        alive[f"{name}.left"] = rows[:, None].expand(-1, pair.rank)
        alive[f"{name}.right"] = columns.expand(pair.rank, -1)
        m, n = int(rows.sum()), int(columns.sum())
        if multiply_out and pair.rank and pair.rank * (m + n) >= m * n:
            dense[name] = factors.pop(name).dense()
    return replace(code, factors=factors, dense=dense, alive=alive)


def _sparse(code: SparseCode, left: Masks) -> SparseCode:
    masks = {name: mask & left[name] if name in left else mask for name, mask in code.masks.items()}
    dense = code.decode()
    alive = _both(code.alive, left, code.masks)
    positions = {
        name: _positions(form, masks[name], alive[name]) if name in left else form
        for name, form in code.positions.items()
    }
    return SparseCode(masks, {name: dense[name][mask] for name, mask in masks.items()}, alive, positions)


def _positions(form: Positions, mask: Tensor, alive: Tensor) -> Positions:
    """How the mask of what is left is stored: in the same form where that still says it."""
    if isinstance(form, Groups):
        labels = torch.full((mask.numel(),), -1, dtype=torch.int64, device=mask.device)
        labels[form.order] = torch.arange(form.count, device=mask.device).repeat_interleave(form.sizes)
        return groups_of(labels.view(mask.shape), alive)
    if isinstance(form, FineGrained):
        groups = form.groups(mask)
        count = int(groups.max()) + 1 if groups.numel() else 0
        there, kept = (torch.bincount(groups[one], minlength=count) for one in (alive, mask))
        return form if torch.equal(kept, there.clamp(max=form.n)) else Scattered()
    return form


def _book(code: BookCode, left: Masks) -> BookCode:
    layout = _layout(code.layout, left)
    assignments = _picked(code.layout, code.assignments, layout)
    used = torch.bincount(assignments.int(), minlength=code.book.numel()) > 0
    pinned = code.pinned if assignments.numel() else -1
    if pinned >= 0:
        used[pinned] = True
    place = (used.cumsum(0) - 1).to(assignments.dtype)
    pinned = int(place[pinned]) if pinned >= 0 else -1
    return BookCode(code.book[used], place[assignments.int()], layout, pinned)


def _layout(layout: Layout, left: Masks) -> Layout:
    masks = {name: mask for name, mask in left.items() if name in layout.shapes}
    return replace(layout, alive=_both(layout.alive, masks, masks | layout.alive))


def _picked(old: Layout, joint: Tensor, new: Layout) -> Tensor:
    """The entries of `joint`, one for each that lives in `old`, that live in `new`."""
    placed = old.placed(joint)
    return torch.cat([one[new.alive[name]] if name in new.alive else one.flatten() for name, one in placed.items()])
