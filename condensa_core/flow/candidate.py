"""From learned weights to the model that would ship: cut, split, folded, in its final precision, exported."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.export import OnnxFile, export_onnx
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import deliver, kept_positions
from condensa_core.materialise.kept import crossing
from condensa_core.materialise.thin_pair import ThinPair
from condensa_core.schemes import Code, narrow_of, only_channels, restricted
from condensa_core.schemes.half import nearest

# Weight -> rank, and how many of its axes are the rows of the matrix.
Ranks = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Structure:
    """What the codes of a trial decide, in the shapes of the uncut model."""

    keep: dict[str, np.ndarray]  # surviving units by family
    codes: tuple[Code, ...]  # of the parts that change weights one by one, or matrices
    narrow: dict[str, torch.dtype]  # tensors stored in half precision: parameters, and factors until they are some
    pairs: Mapping[str, ThinPair] = field(default_factory=dict)  # weights that two layers stand for, once they do

    @property
    def ranks(self) -> Ranks:
        """What it takes to split the layers in the same way again."""
        return {name: (pair.rank, pair.view.row_dims) for name, pair in self.pairs.items()}

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


def remaining(bench: Workbench, structure: Structure) -> tuple[Code, ...]:
    """The codes of what removed channels leave of their tensors, in the shapes of the uncut model."""
    kept = kept_positions(bench.graph, structure.keep)

    def left(name: str, dense: Tensor) -> Tensor:
        return torch.from_numpy(crossing(tuple(dense.shape), kept[name])).to(dense.device)

    return tuple(
        restricted(code, {name: left(name, dense) for name, dense in code.decode().items() if name in kept})
        for code in structure.codes
    )


def finished(bench: Workbench, small: nn.Module, structure: Structure) -> nn.Module:
    """The model that ships: BatchNorm folded, then the narrow tensors rounded to what their storage can hold."""
    shipped = bench.fold_batchnorm(laid_out(copy.deepcopy(small).cpu(), torch.contiguous_format), bench.example)
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


def parameters_by_layer(model: nn.Module, layers: Sequence[str]) -> dict[str, int]:
    """Parameters each named module has, those of the two layers that stand for it included."""
    modules = dict(model.named_modules())
    alone = {n: sum(p.numel() for p in modules[n].parameters(recurse=False)) for n in layers if n in modules}
    return {n: own or sum(p.numel() for p in modules[n].parameters()) for n, own in alone.items()}
