"""From learned weights to the model that would ship: cut, split, folded, in its final precision, exported."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from condensa_core.export import OnnxFile, export_onnx
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import cut_tensors, deliver, fold_batchnorm, kept_positions
from condensa_core.materialise.factor import factored
from condensa_core.materialise.kept import Kept, cut
from condensa_core.schemes import Code, Freedom, counted_bits, entries_counted, factors_of, narrow_of, only_channels
from condensa_core.schemes.half import nearest
from condensa_core.schemes.matrix_view import Factors, MatrixView, view_of


@dataclass(frozen=True, eq=False)
class Structure:
    """What the codes of a trial decide, in the shapes of the uncut model."""

    keep: dict[str, np.ndarray]  # surviving units by family
    codes: tuple[Code, ...]  # of the parts that change weights one by one, or matrices
    narrow: dict[str, torch.dtype]  # parameters stored in half precision

    @classmethod
    def of(cls, codes: Iterable[Code]) -> Structure:
        """What these codes decide together."""
        keep: dict[str, np.ndarray] = {}
        inner = []
        narrow: dict[str, torch.dtype] = {}
        for code in codes:
            keep.update(getattr(code, "keep", {}))
            narrow |= narrow_of(code)
            if not only_channels(code):
                inner.append(code)
        return cls(keep, tuple(inner), narrow)

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Surviving units by family: what decides cost and speed."""
        return tuple((name, int(mask.sum())) for name, mask in self.keep.items())


def cut_model(bench: Workbench, model: nn.Module, structure: Structure) -> nn.Module:
    """The physically smaller model, shown equal to `model` with the removed units at zero (NotEquivalent otherwise)."""
    return deliver(model, bench.graph, structure.keep, bench.example, bench.routes).model


# Weight -> rank, and how many of its axes are the rows of the matrix.
Ranks = Mapping[str, tuple[int, int]]


def split(bench: Workbench, small: nn.Module, structure: Structure) -> tuple[nn.Module, Ranks]:
    """`small` with two layers in the place of each one whose weight is a product of low rank, where that is cheaper."""
    kept = kept_positions(bench.graph, structure.keep)
    factors = {name: f for code in structure.codes for name, f in factors_of(code).items()}
    if not factors:
        return small, {}
    narrow = {name: cut_factors(f, kept[name]) if name in kept else f for name, f in factors.items()}
    found = factored(small, narrow, bench.example)
    return found.model, {name: (narrow[name].rank, narrow[name].view.row_dims) for name in found.split}


def split_as(bench: Workbench, small: nn.Module, ranks: Ranks) -> nn.Module:
    """`small` with the layers that `split` made, their weights still to be loaded."""
    if not ranks:
        return small
    parameters = dict(small.named_parameters())
    factors = {}
    for name, (rank, row_dims) in ranks.items():
        shape = tuple(parameters[name].shape)
        view = next(v for v in (view_of(shape, "output"), view_of(shape, "kernel")) if v.row_dims == row_dims)
        # Not zero: the two layers are proven equal to their product, and zeros would prove nothing.
        factors[name] = Factors(torch.ones(view.rows, rank), torch.ones(rank, view.columns), view)
    return factored(small, factors, bench.example).model


def cut_factors(factors: Factors, kept: Kept) -> Factors:
    """The factors of the tensor without removed slices."""
    view, row_dims = factors.view, factors.view.row_dims
    positions = [kept[dim] for dim in view.order]
    rows, columns = view.laid_out[:row_dims], view.laid_out[row_dims:]
    left = cut(factors.left.reshape(*rows, factors.rank), (*positions[:row_dims], None))
    right = cut(factors.right.reshape(factors.rank, *columns), (None, *positions[row_dims:]))
    shape = tuple(size if at is None else len(at) for size, at in zip(view.shape, kept, strict=True))
    small = MatrixView(shape, view.order, row_dims)
    return Factors(left.reshape(small.rows, factors.rank), right.reshape(factors.rank, small.columns), small)


def freedoms(bench: Workbench, small: nn.Module, structure: Structure) -> list[Freedom]:
    """What may move in the compressed parameters of the cut and split model."""
    there = {name for name, _ in small.named_parameters()}
    found = []
    for code in structure.codes:
        freedom = code.freedom()
        labels, signs = (
            {name: tensor for name, tensor in cut_tensors(part, bench.graph, structure.keep).items() if name in there}
            for part in (freedom.labels, freedom.signs)
        )
        found.append(
            Freedom(
                {name: label.to(bench.device) for name, label in labels.items()},
                {name: sign.to(bench.device) for name, sign in signs.items()},
            )
        )
    return found


def finished(bench: Workbench, small: nn.Module, structure: Structure) -> nn.Module:
    """The model that ships: BatchNorm folded, then the narrow tensors rounded to what their storage can hold."""
    shipped = fold_batchnorm(laid_out(copy.deepcopy(small).cpu(), torch.contiguous_format), bench.example)
    with torch.no_grad():
        for name, parameter in shipped.named_parameters():
            if name in structure.narrow:
                parameter.copy_(nearest(parameter, structure.narrow[name]))
    return shipped


def stored_halves(shipped: nn.Module, structure: Structure) -> frozenset[str]:
    """The parameters of the shipped model that are stored in float16: those folded away have no storage."""
    names = {name for name, _ in shipped.named_parameters()}
    return frozenset(name for name, dtype in structure.narrow.items() if dtype is torch.float16 and name in names)


def laid_out(model: nn.Module, layout: torch.memory_format) -> nn.Module:
    """`model` with its convolution weights in this memory layout, in place."""
    moved: nn.Module = model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form
    return moved


def exported(bench: Workbench, shipped: nn.Module, structure: Structure, path: Path, like: OnnxFile | None) -> OnnxFile:
    """The shipped model as an ONNX file at `path`."""
    return export_onnx(shipped, bench.example, path, float16_parameters=stored_halves(shipped, structure), like=like)


def stored_bits(bench: Workbench, shipped: nn.Module, structure: Structure) -> tuple[int, int]:
    """The whole model in bits: as its codes store it, and as papers count it (non-zero numbers only).

    Every parameter counts, biases and untouched layers included. Where channels that another rule removes take columns
    from a coded tensor, its bits are counted in proportion to the entries that are left.
    """
    parameters = dict(shipped.named_parameters())
    stored = counted = 0
    coded: set[str] = set()
    for code in structure.codes:
        dense = code.decode()
        left = sum(t.numel() for t in cut_tensors(dense, bench.graph, structure.keep).values())
        share = left / max(1, entries_counted(code))
        stored += round(code.bits() * share)
        counted += round(counted_bits(code) * share)
        coded |= dense.keys()
    # What two layers stand for is coded under the name of the one that they replace.
    split_up = {f"{name.rpartition('.')[0]}." for name in coded - parameters.keys()}
    for name, p in parameters.items():
        counted_already = any(
            name.startswith(prefix) and (p.ndim > 1 or f"{prefix}bias" in coded) for prefix in split_up
        )
        if name not in coded and not counted_already:
            stored += 32 * p.numel()
            counted += 32 * int(p.count_nonzero())
    return stored, counted


def parameters_by_layer(model: nn.Module, layers: Sequence[str]) -> dict[str, int]:
    """Parameters each named module has, those of the two layers that stand for it included."""
    modules = dict(model.named_modules())
    alone = {n: sum(p.numel() for p in modules[n].parameters(recurse=False)) for n in layers if n in modules}
    return {n: own or sum(p.numel() for p in modules[n].parameters()) for n, own in alone.items()}
