"""How far the outputs of two computations are apart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.errors import UsageError


@dataclass(frozen=True)
class Difference:
    """Of outputs over `samples` samples, paired by their position.

    `max_abs` is over all outputs; `max_rel` is max|difference| / max|reference| of the output where that is largest
    (0 / 0 is 0, x / 0 is infinite). `cosine` is taken over all outputs laid end to end (1 when both are zero).
    `top1_agreement` is the fraction of samples with the same largest class, None when the first output is not
    `batch x classes`. `finite` is False when either side holds NaN or infinity; the figures are then over the finite
    positions only and mean little.
    """

    max_abs: float
    max_rel: float
    cosine: float
    top1_agreement: float | None
    samples: int
    finite: bool

    def within(self, tolerance: float) -> bool:
        """Whether all values are finite and none is farther off than the tolerance, relatively."""
        return self.finite and self.max_rel <= tolerance

    def to_json(self) -> dict[str, Any]:
        """Plain data; an infinite `max_rel` (the reference is all zeros) is None."""
        return {**vars(self), "max_rel": self.max_rel if math.isfinite(self.max_rel) else None}


def difference(references: Iterable[Feeds], others: Iterable[Feeds]) -> Difference:
    """Of two computations' outputs, batch by batch, on the same inputs.

    UsageError where the outputs have other shapes, and for no batch at all.
    """
    apart: dict[int, float] = {}
    scale: dict[int, float] = {}
    dot = square_a = square_b = 0.0
    samples = ranked = same = 0
    finite = True
    for reference, other in zip(references, others, strict=True):
        ours, theirs = _numbers(reference), _numbers(other)
        if [y.shape for y in ours] != [y.shape for y in theirs]:
            shapes = [list(y.shape) for y in ours], [list(y.shape) for y in theirs]
            raise UsageError(f"outputs have other shapes: {shapes[0]} became {shapes[1]}")
        samples += _samples(ours)
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            both = np.isfinite(a) & np.isfinite(b)
            finite = finite and bool(both.all())
            known, found = a[both], b[both]
            apart[place] = max(apart.get(place, 0.0), float(np.abs(known - found).max(initial=0.0)))
            scale[place] = max(scale.get(place, 0.0), float(np.abs(known).max(initial=0.0)))
            dot += float(known @ found)
            square_a += float(known @ known)
            square_b += float(found @ found)
        if ours and ours[0].ndim == 2 and ours[0].shape[1] > 1:
            ranked += len(ours[0])
            same += int((ours[0].argmax(1) == theirs[0].argmax(1)).sum())
    if not samples:
        raise UsageError("there are no outputs to compare")
    norms = math.sqrt(square_a) * math.sqrt(square_b)
    return Difference(
        max_abs=max(apart.values()),
        max_rel=max(_relative(apart[place], scale[place]) for place in apart),
        cosine=dot / norms if norms else float(square_a == square_b),
        top1_agreement=same / ranked if ranked else None,
        samples=samples,
        finite=finite,
    )


def _numbers(outputs: Feeds) -> list[np.ndarray]:
    """The outputs that are numbers, in double precision."""
    return [y.astype(np.float64) for y in map(np.asarray, outputs.values()) if y.dtype.kind in "fiub"]


def _samples(outputs: list[np.ndarray]) -> int:
    return len(outputs[0]) if outputs and outputs[0].ndim else int(bool(outputs))


def _relative(apart: float, scale: float) -> float:
    return apart / scale if scale else (math.inf if apart else 0.0)
