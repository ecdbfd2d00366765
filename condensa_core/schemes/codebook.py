"""`codebook`: weights that share k numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.buckets import Buckets
from condensa_core.schemes.clusters import best_centres
from condensa_core.schemes.contract import Facts, Freedom, Target, Tensors
from condensa_core.schemes.entries import Entries, Layout
from condensa_core.schemes.terms import Plain, Term


@dataclass(frozen=True, eq=False)
class BookCode:
    """The numbers in ascending order, and which of them each living entry has."""

    book: Tensor
    assignments: Tensor  # of all entries of `layout` in one vector, uint8 or int32
    layout: Layout
    pinned: int  # the entry of the book that is zero whatever happens; -1: none

    def decode(self) -> dict[str, Tensor]:
        """Each entry's number; zero where nothing lives."""
        if not self.book.numel():
            return self._in_own_dtype(self.layout.placed(self.book))
        return self._in_own_dtype(self.layout.placed(self.book.index_select(0, self.assignments.int())))

    def _in_own_dtype(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.layout.dtypes[name]) for name, tensor in tensors.items()}

    def bits(self) -> int:
        """The book at the width of its dtype and ceil(log2 of its size) bits a living entry: none for one number."""
        index = math.ceil(math.log2(max(1, self.book.numel())))
        return 8 * self.book.element_size() * self.book.numel() + index * self.assignments.numel()

    def structure_bits(self) -> int:
        """All of them: no number is left to compress."""
        return self.bits()

    def arrays(self) -> dict[str, Tensor]:
        """`book` and `NAME.assignments`."""
        placed = self.layout.placed(self.assignments)
        return {"book": self.book, **{f"{name}.assignments": tensor for name, tensor in placed.items()}}

    def same_structure(self, other: object) -> bool:
        """Whether the same entries share their numbers."""
        return (
            isinstance(other, BookCode)
            and self.book.shape == other.book.shape
            and self.pinned == other.pinned
            and self.layout.same(other.layout)
            and torch.equal(self.assignments, other.assignments)
        )

    def values(self) -> Target:
        """Nothing."""
        return Target({})

    def rebuild(self, values: Tensors) -> dict[str, Tensor]:
        """`decode()`."""
        return self.decode()

    def freedom(self) -> Freedom:
        """Entries of the book move, the pinned zero and what does not live stay."""
        number = torch.arange(1, self.book.numel() + 1, dtype=torch.int32, device=self.book.device)
        if self.pinned >= 0:
            number[self.pinned] = 0
        labels = number[:0] if not self.book.numel() else number.index_select(0, self.assignments.int())
        return Freedom(self.layout.placed(labels))

    def terms(self) -> dict[str, tuple[Term, ...]]:
        """One plain piece: the packer finds the repeated values."""
        return {name: (Plain(dense),) for name, dense in self.decode().items()}


@dataclass(frozen=True)
class Codebook:
    """The nearest weights with `size` distinct values, jointly over the tensors: one-dimensional k-means.

    min over a book c of `size` numbers and assignments z of sum w_i (x_i - c_{z_i})^2, w = 1 or the diagonal metric;
    with `zero`, one of the numbers is 0. A global optimum up to rounding (`clusters` has the proof), then the numbers
    are rounded to the target's dtype and every weight goes to the nearest of them, the smaller of two. Numbers that
    nothing goes to are left out of the book. If the weights that count in the metric have no more than `size` values
    (with `zero`, counting 0), these stay as they are.
    Source: Carreira-Perpinan and Idelbayev, arXiv:1707.04319, section 4.1 (adaptive code book).
    """

    size: int
    zero: bool = False

    name: ClassVar[str] = "codebook"
    facts: ClassVar[Facts] = Facts(
        summary="weights share a few numbers, chosen for them",
        source="Carreira-Perpinan and Idelbayev, arXiv:1707.04319",
        structure="value",
        exact=True,
        shrinks_file="none in model.onnx; the packed file stores ceil(log2 k) bits a weight and the book",
        speeds_up="none: weights are looked up once, at load",
        metrics=frozenset(("diagonal",)),
    )

    def __post_init__(self) -> None:
        least = 2 if self.zero else 1
        if self.size < least:
            wanted = "two numbers, one of them zero" if self.zero else "one number"
            raise SchemeError(f"codebook: size must be at least {least} ({wanted}), got {self.size}")

    def project(self, target: Target) -> BookCode:
        """The C step over all living entries jointly."""
        entries, layout = Entries.of(target), Layout.of(target)
        dtype = torch.uint8 if self.size <= 256 else torch.int32
        if not entries.values.numel():
            book = entries.values.new_zeros(int(self.zero))
            return BookCode(book, entries.values.to(dtype), layout, 0 if self.zero else -1)
        numbers = Buckets.of(entries.values, entries.weights)
        centres = torch.from_numpy(best_centres(numbers, self.size, zero=self.zero))
        book = centres.to(entries.values.dtype).unique()
        places, some = numbers.nearest(book.double().numpy(), dtype)
        used = torch.from_numpy(some)
        if self.zero:
            used |= book == 0
        if not bool(used.all()):
            new_place = (used.cumsum(0) - 1).to(places.device, dtype)
            book, places = book[used], new_place.index_select(0, places.int())
        pinned = int((book == 0).nonzero()) if self.zero else -1
        return BookCode(book.to(entries.values.device), places, layout, pinned)
