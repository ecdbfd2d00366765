"""How far the outputs of two computations are apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.tensor_types import in_order_of

# The share of ids that may differ, and of classes that may change though they lead: near ties fall to either side.
# Of fewer than 8 samples, none.
MOST_FLIPS: Final = 1 / 8
# Where values are rounded to a grid between layers, one that falls to the other side may move a sample's outputs far:
# of ResNets in int8 here one sample in 32 by up to 0.095. Kernels that saturate move nearly half of them beyond 0.05.
_OUTLIER: Final = 4  # how many tolerances such a sample may be off
_OFFSET: Final = 4  # how far an offset that all values share is discounted: below, it is the arithmetic's own grid
_GRADED: Final = ("int8", "uint8", "int16", "uint16")  # quantities on a grid; wider integers are ids and counts


@dataclass(frozen=True)
class Difference:
    """Of outputs over `samples` samples, paired by name where both sides have the same names, else by position.

    `max_abs`, `max_rel` and `cosine` are of floats and of integers of 8 and 16 bits. `max_rel` is the largest
    difference over the scale of an output, which is half the range of the reference's values or a quarter of the
    largest, whichever is more (the largest, where all are equal); of the output where that is worst (0 / 0 is 0, x / 0
    is infinite). `cosine` is taken over all outputs laid end to end (1 when both are zero, None without finite values).
    `unequal` is the share that differs of wider integers, truths and strings, of the output where that is most; None
    without such an output. `top1_agreement` is the fraction of samples with the same largest class, None when the first
    output is not `batch x classes`. `leads` has an entry for each sample of another class: how far the reference puts
    its own class before the other, over the size of these two and of the output's middle half.
    `off` has the largest difference of each sample, relative like `max_rel`.
    `finite` is False when either side holds NaN or infinity; the figures are then over the finite positions only and
    mean little.
    """

    max_abs: float
    max_rel: float
    cosine: float | None
    unequal: float | None
    top1_agreement: float | None
    samples: int
    finite: bool
    paired_by: Literal["name", "position"]
    leads: tuple[float, ...] = ()
    off: tuple[float, ...] = ()

    def beyond(self, tolerance: float) -> float:
        """The share of samples that are farther off than the tolerance."""
        return sum(one > tolerance for one in self.off) / max(len(self.off), 1)

    def within(self, tolerance: float, flips: float = MOST_FLIPS, *, rounded: bool = False) -> bool:
        """Whether all values are finite and none is farther off than the tolerance, relatively.

        `rounded`, between layers: the share `flips` of samples may be off by four times the tolerance.

        At most the share `flips` of ids differs, and of samples whose class changes though it led by more than an error
        of the tolerance could take away: this sees a difference that a few large values (a masked class) hide.
        """
        changed = sum(lead > 2 * tolerance for lead in self.leads)
        of_ids = self.unequal is None or self.unequal <= flips
        if rounded:
            near = self.max_rel <= _OUTLIER * tolerance and self.beyond(tolerance) <= flips
        else:
            near = self.max_rel <= tolerance
        return self.finite and near and of_ids and changed <= flips * self.samples

    def to_json(self) -> dict[str, Any]:
        """Plain data; an infinite figure (the reference is all zeros) is None."""
        shown = {name: value for name, value in vars(self).items() if name in FIGURES}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in shown.items()}


FIGURES: Final = tuple(name for name in Difference.__dataclass_fields__ if name not in ("leads", "off"))


@dataclass
class _Output:
    """What is known of one output so far."""

    rows: list[np.ndarray] = field(default_factory=list)  # the largest difference of each sample
    low: float = math.inf
    high: float = -math.inf
    ids: int = 0
    unequal: int = 0

    @property
    def apart(self) -> np.ndarray:
        return np.concatenate(self.rows) if self.rows else np.zeros(0)

    @property
    def relative(self) -> np.ndarray:
        """Of each sample, in units of the output's scale."""
        largest = max(abs(self.low), abs(self.high), 0.0)
        scale = largest if self.low == self.high else max(self.high / 2 - self.low / 2, largest / _OFFSET)
        apart = self.apart
        if math.isinf(largest) or not scale:  # no finite value, or zeros
            return np.where(apart > 0, math.inf, 0.0)
        return apart / scale


@dataclass
class _Classes:
    """Which sample of the first output is put into which class."""

    samples: int = 0
    same: int = 0
    leads: list[float] = field(default_factory=list)

    def see(self, reference: np.ndarray, other: np.ndarray) -> None:
        ours, theirs = reference.argmax(1), other.argmax(1)
        self.samples += len(ours)
        self.same += int((ours == theirs).sum())
        # Neither an offset nor a few masked classes move the quartiles; twice their distance is about half the range.
        lower, upper = np.nanquantile(reference, (0.25, 0.75)) if np.isfinite(reference).any() else (0.0, 0.0)
        for row, a, b in zip(reference, ours, theirs, strict=True):
            size = max(abs(row[a]), abs(row[b]), 2 * (upper - lower))
            if a != b and size:
                self.leads.append(float((row[a] - row[b]) / size))


def other_shapes(references: Sequence[Feeds], others: Sequence[Feeds]) -> str:
    """The sentence that says which output of two computations has another shape; empty if none has."""
    for reference, other in zip(references, others, strict=True):
        if len(reference) != len(other):
            return f"{len(reference)} outputs became {len(other)}"
        for name, ours, theirs in _paired(reference, other):
            if ours.shape != theirs.shape:
                return f"output {name} has another shape: {list(ours.shape)} became {list(theirs.shape)}"
    return ""


def difference(references: Sequence[Feeds], others: Sequence[Feeds]) -> Difference | None:
    """Of two computations' outputs, batch by batch, on the same inputs; None without a single value to compare.

    The outputs have the same shapes: `other_shapes` says nothing.
    """
    found: dict[str, _Output] = {}
    classes = _Classes()
    finite = True
    samples = compared = 0
    for reference, other in zip(references, others, strict=True):
        samples += _samples(reference)
        for place, (name, ours, theirs) in enumerate(_paired(reference, other)):
            output = found.setdefault(name, _Output())
            compared += ours.size
            a, b = _numbers(ours), _numbers(theirs)
            if a is None or b is None:
                output.ids += ours.size
                output.unequal += int((ours != theirs).sum())
                continue
            both = np.isfinite(a) & np.isfinite(b)
            finite = finite and bool(both.all())
            known = a[both]
            with np.errstate(over="ignore", invalid="ignore"):
                apart = np.where(both, np.abs(a - b), 0.0)
            output.rows.append(_of_each_sample(apart, _samples(reference)))
            output.low = min(output.low, float(known.min(initial=math.inf)))
            output.high = max(output.high, float(known.max(initial=-math.inf)))
            if place == 0 and a.ndim == 2 and a.shape[1] > 1:
                classes.see(a, b)
    if not compared:
        return None
    graded = [output for output in found.values() if output.rows]
    off = np.max([output.relative for output in graded], axis=0) if graded else np.zeros(samples)
    return Difference(
        max_abs=max((float(output.apart.max(initial=0.0)) for output in graded), default=0.0),
        max_rel=float(off.max(initial=0.0)),
        cosine=_cosine(references, others),
        unequal=max((output.unequal / output.ids for output in found.values() if output.ids), default=None),
        top1_agreement=classes.same / classes.samples if classes.samples else None,
        samples=samples,
        finite=finite,
        paired_by="name" if all(a.keys() == b.keys() for a, b in zip(references, others, strict=True)) else "position",
        leads=tuple(classes.leads),
        off=tuple(off.tolist()),
    )


def _of_each_sample(apart: np.ndarray, samples: int) -> np.ndarray:
    """The largest of each sample; of all together for an output that does not count samples first."""
    count = max(samples, 1)  # a first output that is empty counts none
    if apart.size and apart.ndim and len(apart) == count:
        return np.asarray(apart.reshape(count, -1).max(axis=1))
    return np.full(count, apart.max(initial=0.0))


def _cosine(references: Sequence[Feeds], others: Sequence[Feeds]) -> float | None:
    """Over all finite values, in units of the largest, so that no square of one leaves the range of doubles."""
    pairs = []
    for reference, other in zip(references, others, strict=True):
        for _, ours, theirs in _paired(reference, other):
            a, b = _numbers(ours), _numbers(theirs)
            if a is not None and b is not None:
                both = np.isfinite(a) & np.isfinite(b)
                pairs.append((a[both], b[both]))
    if not sum(a.size for a, _ in pairs):
        return None
    unit_a = max(float(np.abs(a).max(initial=0.0)) for a, _ in pairs)
    unit_b = max(float(np.abs(b).max(initial=0.0)) for _, b in pairs)
    if not (unit_a and unit_b):
        return float(unit_a == unit_b)
    scaled = [(a / unit_a, b / unit_b) for a, b in pairs]
    dot, square_a, square_b = (sum(float(x @ y) for x, y in part) for part in _products(scaled))
    return max(-1.0, min(1.0, dot / math.sqrt(square_a * square_b)))


def _products(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[Sequence[tuple[np.ndarray, np.ndarray]], ...]:
    return pairs, [(a, a) for a, _ in pairs], [(b, b) for _, b in pairs]


def _paired(reference: Feeds, other: Feeds) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each output of the reference with its partner, in the reference's order."""
    partners = in_order_of(list(reference), list(other))
    for (name, ours), partner in zip(reference.items(), partners, strict=True):
        yield name, np.asarray(ours), np.asarray(other[partner])


def _numbers(output: np.ndarray) -> np.ndarray | None:
    """An output that is a quantity, in double precision; None for ids, truths and strings."""
    if output.dtype.kind == "c":
        return np.stack([output.real, output.imag], axis=-1).astype(np.float64)
    graded = output.dtype.kind == "f" or output.dtype.name in _GRADED
    return output.astype(np.float64) if graded else None


def _samples(outputs: Feeds) -> int:
    first = next(iter(outputs.values()), None)
    return 0 if first is None else len(first) if np.ndim(first) else 1
