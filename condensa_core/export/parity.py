"""Does the file compute what the model computes?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from condensa_core.errors import OUR_FAULT, ParityError, UsageError
from condensa_core.evaluation_mode import evaluating
from condensa_core.export.onnx_file import OnnxFile, Signature, read_onnx
from condensa_core.export.session import Inputs, OnnxModel, as_tuple


@dataclass(frozen=True)
class Deviation:
    """How far two computations are apart over `count` samples.

    `max_rel` is max|difference| / max|reference output|, over all outputs and batches (0 / 0 is 0, x / 0 is infinite).
    `cosine` is taken over all outputs laid end to end (1 when both are zero). `top1_agreement` is the fraction of
    samples with the same largest class, None when the first output is not `batch x classes`. `finite` is False when
    either side holds NaN or infinity; the figures are then over the finite positions only and mean little.
    """

    max_abs: float
    max_rel: float
    cosine: float
    top1_agreement: float | None
    count: int
    finite: bool


@dataclass(frozen=True)
class Parity(Deviation):
    """A deviation beside what it may be."""

    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether all values are finite and within the tolerance, relatively."""
        return self.finite and self.max_rel <= self.tolerance


def check_parity(path: str | Path, model: nn.Module, batches: Iterable[Inputs], tolerance: float = 1e-4) -> Parity:
    """Parity of the ONNX file (ONNX Runtime, CPU) with `model` on batches of inputs; ParityError beyond `tolerance`.

    The model is judged in eval mode and left in the mode it was in. UsageError when there is no batch at all.
    """
    return require(measure_parity(path, model, batches, tolerance), Path(path).name)


def measure_parity(path: str | Path, model: nn.Module, batches: Iterable[Inputs], tolerance: float = 1e-4) -> Parity:
    """As `check_parity`, but only measures: look at `.ok`."""
    with evaluating(model), torch.no_grad():
        return compare(model, OnnxModel(path), batches, tolerance)


def compare_outputs(
    reference: str | Path,
    other: str | Path,
    *,
    batch: int = 8,
    batches: int = 4,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> Parity:
    """Parity of two ONNX files on the same random inputs, drawn from `reference`'s own signature.

    UsageError when the files do not take the same inputs.
    """
    a, b = read_onnx(reference), read_onnx(other)
    if _types(a) != _types(b):
        raise UsageError(f"other inputs: {a.path.name} takes {_types(a)}, {b.path.name} takes {_types(b)}")
    generator = torch.Generator().manual_seed(seed)
    drawn = (tuple(_random_input(s, batch, generator) for s in a.inputs) for _ in range(batches))
    return compare(OnnxModel(a.path), OnnxModel(b.path), drawn, tolerance)


def require(parity: Parity, what: str) -> Parity:
    """The parity itself if it is ok, else ParityError with the figures."""
    if parity.ok:
        return parity
    if not parity.finite:
        raise ParityError(
            f"{what}: outputs hold NaN or infinity ({parity.count} samples compared)",
            hint="look at the weights: a layer of this model overflows",
        )
    agreement = "" if parity.top1_agreement is None else f", same top-1 class for {parity.top1_agreement:.2%}"
    raise ParityError(
        f"{what}: outputs differ from the reference by {parity.max_rel:.2e} relative "
        f"(tolerance {parity.tolerance:.0e}), "
        f"{parity.max_abs:.2e} absolute, cosine {parity.cosine:.6f}{agreement}, over {parity.count} samples",
        hint=OUR_FAULT,
    )


def compare(
    reference: Callable[..., Any], other: Callable[..., Any], batches: Iterable[Inputs], tolerance: float
) -> Parity:
    """Parity of two functions of the same inputs; errors as of `deviation`."""
    return Parity(**vars(deviation(reference, other, batches)), tolerance=tolerance)


def deviation(reference: Callable[..., Any], other: Callable[..., Any], batches: Iterable[Inputs]) -> Deviation:
    """The deviation of two functions of the same inputs, which no tolerance judges.

    ParityError when their outputs have different shapes, UsageError when there is no batch at all.
    """
    max_abs = scale = dot = square_a = square_b = 0.0
    count = same = 0
    finite = ranked = True
    for batch in batches:
        inputs = as_tuple(batch)
        ours, theirs = _tensors(reference(*inputs)), _tensors(other(*inputs))
        if [y.shape for y in ours] != [y.shape for y in theirs]:
            shapes = [tuple(y.shape) for y in ours], [tuple(y.shape) for y in theirs]
            raise ParityError(f"outputs have other shapes: {shapes[0]} became {shapes[1]}", hint=OUR_FAULT)
        count += len(inputs[0])
        for a, b in zip(ours, theirs, strict=True):
            both = torch.isfinite(a) & torch.isfinite(b)
            finite = finite and bool(both.all())
            a, b = a[both], b[both]
            if a.numel():
                max_abs = max(max_abs, float((a - b).abs().max()))
                scale = max(scale, float(a.abs().max()))
            dot += float(a @ b)
            square_a += float(a @ a)
            square_b += float(b @ b)
        ranked = ranked and ours[0].ndim == 2
        if ranked:
            same += int((ours[0].argmax(1) == theirs[0].argmax(1)).sum())
    if not count:
        raise UsageError("parity needs at least one batch of inputs")
    norms = math.sqrt(square_a) * math.sqrt(square_b)
    return Deviation(
        max_abs=max_abs,
        max_rel=max_abs / scale if scale else (math.inf if max_abs else 0.0),
        cosine=dot / norms if norms else float(square_a == square_b),
        top1_agreement=same / count if ranked else None,
        count=count,
        finite=finite,
    )


def _tensors(outputs: Any) -> list[Tensor]:
    return [y.detach().cpu().double() for y in pytree.tree_leaves(outputs) if isinstance(y, Tensor)]


def _types(file: OnnxFile) -> str:
    return ", ".join(f"{s.element}{list(s.shape[1:])}" for s in file.inputs)


def _random_input(signature: Signature, batch: int, generator: torch.Generator) -> Tensor:
    free = [d for d in signature.shape[1:] if isinstance(d, str)]
    if free:
        raise UsageError(
            f"input {signature.name} has a free dimension {free[0]!r} beside the batch: size unknown",
            hint="give inputs of your own",
        )
    first = signature.shape[0] if signature.shape else batch
    shape = (first if isinstance(first, int) else batch, *(d for d in signature.shape[1:] if isinstance(d, int)))
    if signature.element in ("FLOAT", "FLOAT16", "DOUBLE"):
        kind = {"FLOAT": torch.float32, "FLOAT16": torch.float16, "DOUBLE": torch.float64}[signature.element]
        return torch.randn(shape, generator=generator).to(kind)
    if signature.element in ("INT64", "INT32"):
        kind = {"INT64": torch.int64, "INT32": torch.int32}[signature.element]
        return torch.randint(0, 2, shape, generator=generator).to(kind)  # valid as ids of any vocabulary
    raise UsageError(
        f"input {signature.name} has element type {signature.element}: no random input is defined for it",
        hint="give inputs of your own",
    )
