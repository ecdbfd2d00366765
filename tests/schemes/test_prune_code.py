"""What a sparse code says of itself: sizes to the bit, values for the next scheme, freedom."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.schemes import Block, Prune, Target
from condensa_core.schemes.positions import Scattered, gap_bits

masks = st.lists(st.booleans(), min_size=1, max_size=40).map(torch.tensor) | st.builds(
    lambda n, seed, one_in: torch.rand(n, generator=torch.Generator().manual_seed(seed)) < 1 / one_in,
    st.integers(1, 400),
    st.integers(0, 2**31),
    st.sampled_from([2, 10, 100]),
)


def written(mask, b):
    """The symbols of gap coding with width b, one after the other."""
    symbols, run = [], 0
    for kept in mask.tolist():
        if kept:
            symbols.append(run)
            run = 0
        elif run == 2**b - 2:
            symbols.append(2**b - 1)
            run = 0
        else:
            run += 1
    return symbols


def read(symbols, b, n):
    """The mask that those symbols stand for."""
    mask, at = [False] * n, 0
    for symbol in symbols:
        at += symbol
        if symbol < 2**b - 1:
            mask[at] = True
            at += 1
    return mask


@given(masks)
def test_gap_coding_takes_as_many_bits_as_writing_it_and_can_be_read(mask):
    best = None
    for b in range(1, 12):
        symbols = written(mask, b)
        while symbols and symbols[-1] == 2**b - 1:  # nothing survives after it
            symbols.pop()
        assert read(symbols, b, len(mask)) == mask.tolist()
        best = min(b * len(symbols), best) if best is not None else b * len(symbols)

    assert gap_bits(mask) == best


@given(masks)
def test_positions_cost_the_cheapest_form(mask):
    n, kept = len(mask), int(mask.sum())
    width = len(bin(n - 1)) - 2 if n > 1 else 0

    bits = Scattered().bits(mask, None)

    assert bits == (0 if kept in (0, n) else min(n, kept * width, gap_bits(mask)))


def test_each_form_is_the_cheapest_somewhere():
    twentieth = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) < 0.05
    last = torch.arange(4096) == 4095

    assert Scattered().bits(torch.rand(4096, generator=torch.Generator().manual_seed(0)) < 0.5, None) == 4096
    assert Scattered().bits(last, None) == 12
    # entropy at 5 % is 0.2864 bit an entry; gaps come within an eighth of it, where a bitmap takes 1
    assert 0.2864 < Scattered().bits(twentieth, None) / 100_000 < 0.2864 * 9 / 8


def test_bits_are_values_and_positions():
    w = torch.ones(4096)

    assert Prune(0.0).project(Target({"w": w})).bits() == 4096 * 32
    assert Prune(1.0).project(Target({"w": w})).bits() == 0
    assert Prune(kappa=2).project(Target({"w": w.half()})).bits() == 2 * 16 + 2  # gaps of 0, one bit each


def test_positions_are_counted_tensor_by_tensor():
    w = {"a": torch.tensor([9.0, 0, 0, 0]), "b": torch.tensor([8.0, 7.0])}

    code = Prune(0.5).project(Target(w))

    assert code.structure_bits() == 1 + 0  # a: one gap of zero; b survives whole
    assert code.bits() == 1 + 3 * 32


SCHEMES = [Prune(0.6), Prune(pattern="2:4"), Block(0.5, (2, 2)), Prune(kappa=9.0, norm="l1")]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_code_agrees_with_itself(scheme):
    generator = torch.Generator().manual_seed(0)
    tensors = {"a": torch.randn(4, 8, generator=generator), "b": torch.randn(2, 4, 3, 3, generator=generator)}
    code = scheme.project(Target(tensors))
    dense = code.decode()

    values = code.values()

    assert all(torch.equal(values.tensors[name], dense[name]) for name in tensors)
    assert all(torch.equal(values.alive[name], dense[name] != 0) for name in tensors)
    doubled = code.rebuild({name: 2 * t + 1 for name, t in values.tensors.items()})
    for name, mask in code.masks.items():
        assert torch.equal(doubled[name], torch.where(mask, 2 * dense[name] + 1, 0))
        assert torch.equal(code.freedom().labels[name], torch.where(mask, -1, 0).int())
        (term,) = code.terms()[name]
        assert torch.equal(term.dense(), dense[name])
        stored = code.arrays()
        assert torch.equal(dense[name][stored[f"{name}.mask"]], stored[f"{name}.values"])
    assert code.bits() - code.structure_bits() == 32 * sum(int(mask.sum()) for mask in code.masks.values())


def test_structures_of_other_codes_differ():
    one = Prune(0.5).project(Target({"w": torch.tensor([1.0, 2.0])}))
    same = Prune(0.5).project(Target({"w": torch.tensor([1.0, 7.0])}))
    other = Prune(0.5).project(Target({"w": torch.tensor([3.0, 2.0])}))
    elsewhere = Prune(0.5).project(Target({"v": torch.tensor([1.0, 2.0])}))

    assert one.same_structure(same)
    assert not one.same_structure(other) and not one.same_structure(elsewhere) and not one.same_structure(object())
