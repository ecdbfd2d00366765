"""Buckets: their sums are those of their members, and every number finds the nearest in a book, ties exactly."""

import numpy as np
import pytest
import torch

from condensa_core.schemes.buckets import Buckets

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def drawn(count, dtype):
    return torch.randn(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("count", [60, 4000])
def test_every_number_finds_the_nearest_in_the_book_the_smaller_of_two(dtype, size, count):
    grain = torch.float32 if dtype == torch.float64 else dtype  # so that distances in float64 are exact
    numbers = drawn(count, grain)
    for start in range(10):
        book = numbers[start : start + 7 * size : 7].unique()
        halfway = (book[1:] + book[:-1]) / 2  # rounded to the dtype: on a boundary, or on either side of it
        beside = [torch.nextafter(halfway, halfway.new_tensor(to)) for to in (-9, 9) if dtype != torch.float16]
        several = torch.cat([numbers, halfway, *beside]).to(dtype)

        places, used = Buckets.of(several, None).nearest(book.double().numpy(), torch.uint8)

        distances = (several.double()[:, None] - book.double()).abs()
        assert torch.equal(places.long(), distances.argmin(1))  # the first of equals
        assert used.tolist() == [bool((places == place).any()) for place in range(book.numel())]


@pytest.mark.parametrize("count", [3, 4000])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_adjacent_numbers_are_told_apart(size, count):
    several = 1 + torch.arange(size, dtype=torch.float64).repeat(count) * torch.finfo(torch.float64).eps
    far = torch.tensor([1.0, 2.0], dtype=torch.float64)  # so that there are buckets
    for start in range(size - 1):
        book = several[start:size]

        places, _ = Buckets.of(torch.cat([several, far]), None).nearest(book.numpy(), torch.uint8)

        expected = (torch.arange(size) - start).clamp_min(0).repeat(count)
        assert torch.equal(places[:-2].long(), expected)


def test_a_number_of_the_book_that_nothing_is_nearest_to_is_not_used():
    values = drawn(4000, torch.float32)
    least = float(values.min())
    just_below = least - 1 - 1e-7  # the boundary to the next one lies in the first bucket, below all its members

    for book in ([-50.0, 0.0], [0.0, 50.0], [-50.0, 0.0, 50.0], [just_below, least + 1, 50.0]):
        _, used = Buckets.of(values, None).nearest(np.array(book), torch.uint8)

        assert used.tolist() == [abs(number) < 49 and number != just_below for number in book]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_the_members(dtype, weighted):
    numbers = drawn(200_000, dtype)  # several pieces
    weights = drawn(200_001, torch.float64)[1:].clamp_min(0) if weighted else None
    before = numbers.clone()

    buckets = Buckets.of(numbers, weights)
    atoms = buckets.atoms()

    mass = np.ones(200_000) if weights is None else weights.numpy()
    x, index = numbers.double().numpy(), buckets.index.numpy()
    assert set(atoms.bucket.tolist()) == set(index[mass > 0].tolist())
    for atom, bucket in list(enumerate(atoms.bucket))[::37]:
        members = index == bucket
        assert atoms.low[atom] <= x[members].min() <= x[members].max() <= atoms.high[atom]
        away = x[members] - atoms.about[atom]
        sums = [(mass[members] * away**power).sum() for power in (0, 1, 2)]
        assert [atoms.mass[atom], atoms.first[atom], atoms.second[atom]] == pytest.approx(sums, rel=1e-12)
    assert atoms.mass.sum() == pytest.approx(mass.sum(), rel=1e-12)
    assert torch.equal(numbers, before)
    assert np.isnan(buckets.atoms(squares=False).second).all()  # nobody takes them for sums
