"""From learned weights to the model that would ship: cut, fine-tuned, folded, in its final precision, exported."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.export import OnnxFile, export_onnx
from condensa_core.flow.workbench import Workbench
from condensa_core.materialise import cut_tensors, deliver, fold_batchnorm
from condensa_core.schemes import Code, Quantize, Target, masks_of, value_bits_of


@dataclass(frozen=True, eq=False)
class Structure:
    """What the codes of a trial decide: surviving units, zeros inside surviving tensors, narrow tensors."""

    keep: dict[str, np.ndarray]  # by family
    masks: dict[str, Tensor]  # by parameter, in the shapes of the uncut model
    halves: frozenset[str]  # parameters stored in float16

    @classmethod
    def of(cls, codes: Iterable[Code]) -> Structure:
        keep: dict[str, np.ndarray] = {}
        masks: dict[str, Tensor] = {}
        halves: set[str] = set()
        for code in codes:
            keep.update(getattr(code, "keep", {}))
            masks.update(masks_of(code))
            halves.update(name for name, bits in value_bits_of(code).items() if bits == 16)
        return cls(keep, masks, frozenset(halves))

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Surviving units by family: what decides cost and speed."""
        return tuple((name, int(mask.sum())) for name, mask in self.keep.items())


def cut(bench: Workbench, model: nn.Module, structure: Structure) -> nn.Module:
    """The physically smaller model, shown equal to `model` with the removed units at zero (NotEquivalent otherwise)."""
    return deliver(model, bench.graph, structure.keep, bench.example, bench.routes).model


def surviving_masks(bench: Workbench, structure: Structure) -> dict[str, Tensor]:
    """The masks in the shapes of the cut model."""
    return cut_tensors(structure.masks, bench.graph, structure.keep)


def finished(bench: Workbench, small: nn.Module, structure: Structure) -> nn.Module:
    """The model that ships: BatchNorm folded, then the narrow tensors rounded to what their storage can hold."""
    shipped = fold_batchnorm(laid_out(copy.deepcopy(small).cpu(), torch.contiguous_format), bench.example)
    parameters = dict(shipped.named_parameters())
    narrow = {name: parameters[name] for name in sorted(stored_halves(shipped, structure))}
    if narrow:
        with torch.no_grad():
            for name, value in Quantize().project(Target(narrow)).decode().items():
                parameters[name].copy_(value)
    return shipped


def stored_halves(shipped: nn.Module, structure: Structure) -> frozenset[str]:
    """The parameters of the shipped model that are stored in float16: those folded away have no storage."""
    return structure.halves & {name for name, _ in shipped.named_parameters()}


def laid_out(model: nn.Module, layout: torch.memory_format) -> nn.Module:
    """`model` with its convolution weights in this memory layout, in place."""
    moved: nn.Module = model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form
    return moved


def exported(bench: Workbench, shipped: nn.Module, structure: Structure, path: Path, like: OnnxFile | None) -> OnnxFile:
    """The shipped model as an ONNX file at `path`."""
    return export_onnx(shipped, bench.example, path, float16_parameters=stored_halves(shipped, structure), like=like)


def stored_bits(model: nn.Module, masks: Mapping[str, Tensor], halves: frozenset[str]) -> tuple[int, int]:
    """The whole model in bits: as theory stores it, and as papers count it (non-zero weights only, no indices).

    Every parameter counts, biases and untouched layers included. A masked tensor of n weights with k survivors costs
    the survivors and the cheaper of a bitmap and indices of log2 n bits.
    """
    stored = counted = 0
    for name, p in model.named_parameters():
        width, n = (16 if name in halves else 32), p.numel()
        if name in masks:
            k = int(torch.count_nonzero(p))
            stored += k * width + min(n, k * max(1, math.ceil(math.log2(max(2, n)))))
            counted += k * width
        else:
            stored += n * width
            counted += n * width
    return stored, counted


def parameters_by_layer(model: nn.Module, layers: Sequence[str]) -> dict[str, int]:
    """Parameters each named module owns itself."""
    modules = dict(model.named_modules())
    return {n: sum(p.numel() for p in modules[n].parameters(recurse=False)) for n in layers if n in modules}
