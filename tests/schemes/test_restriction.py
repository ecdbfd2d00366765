"""What is left of a code when slices of its tensors go takes as many bits as a code of the smaller tensors."""

from __future__ import annotations

import math

import pytest
import torch
from small_families import dense_family

from condensa_core.schemes import (
    Binary,
    Block,
    Codebook,
    Compose,
    Filter,
    LowRank,
    Prune,
    Quantize,
    Sum,
    Target,
    Ternary,
    counted_bits,
    restricted,
)

ROWS, COLUMNS = torch.tensor([0, 1, 3, 4, 6, 7, 8]), torch.tensor([1, 2, 3, 5, 6, 8, 9, 10])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def cut(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[ROWS][:, COLUMNS]


def left(tensor: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros_like(tensor, dtype=torch.bool)
    mask[ROWS[:, None], COLUMNS] = True
    return mask


# Schemes that find their own results again: what they need for the cut tensor, projected by itself, is an independent
# count of what is left.
FORMS = {
    "float16": Quantize("float16"),
    "a scale": Quantize("int5"),
    "a scale a row": Quantize("int8", granularity="channel"),
    "zero points": Quantize("uint4", granularity="channel", symmetric=False),
    "binary": Binary(),
    "signs alone": Binary(scale=False),
    "ternary": Ternary(),
    "book": Codebook(5),
    "book with zero": Codebook(4, zero=True),
    "low rank": LowRank(rank=2),
}


@pytest.mark.parametrize("form", FORMS)
def test_bits_are_those_of_the_cut_tensor(form: str) -> None:
    w, v = drawn(9, 11), drawn(4, 5)
    scheme = FORMS[form]
    code = scheme.project(Target({"w": w, "v": v}))

    some = restricted(code, {"w": left(w)})

    dense = code.decode()
    alone = scheme.project(Target({"w": cut(dense["w"]), "v": dense["v"]}))
    assert some.bits() == alone.bits() < code.bits()
    assert counted_bits(some) == counted_bits(alone)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_left_takes_no_bits(form: str) -> None:
    w = drawn(9, 11)
    code = FORMS[form].project(Target({"w": w}))

    none = restricted(code, {"w": torch.zeros_like(w, dtype=torch.bool)})

    assert none.bits() == counted_bits(none) == 0


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_survivors_and_their_positions_are_counted_anew(sparsity: float) -> None:
    w = drawn(9, 11)
    code = Prune(sparsity).project(Target({"w": w}))

    some = restricted(code, {"w": left(w)})

    dense = cut(code.decode()["w"])
    alone = Prune(kappa=int(dense.count_nonzero())).project(Target({"w": dense}))
    assert (some.bits(), counted_bits(some)) == (alone.bits(), counted_bits(alone))


def test_blocks_of_which_something_is_left_have_a_bit() -> None:
    w = drawn(8, 8)
    code = Block(0.5, (4, 4)).project(Target({"w": w}))
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:3] = True  # the lower two of the four blocks are gone

    some = restricted(code, {"w": mask})

    assert code.structure_bits() == 4 and some.structure_bits() == 2
    assert some.bits() == 2 + 32 * int(code.decode()["w"][:3].count_nonzero())


def test_a_pattern_that_is_broken_is_no_pattern_any_more() -> None:
    w = torch.tensor([[4.0, 3, 2, 1, 4, 3, 2, 1]]).repeat(5, 1)  # the first two of every four survive
    code = Prune(pattern="2:4").project(Target({"w": w}))

    def without(*columns: int) -> int:
        mask = torch.ones_like(w, dtype=torch.bool)
        mask[:, list(columns)] = False
        return restricted(code, {"w": mask}).structure_bits()

    assert code.structure_bits() == 10 * 3  # of six choices
    assert without(3) == 5 * (2 + 3)  # two of three, and two of four
    # One of three is not 2:4: scattered like any other survivors, in more bits than 5 * (2 + 3).
    scattered = Prune(kappa=15).project(Target({"w": w[:, 1:] * torch.tensor([1, 0, 0, 1, 1, 0, 0])}))
    assert without(0) == scattered.structure_bits() > 25


def test_a_composition_is_counted_from_outside_in() -> None:
    w = drawn(9, 11)
    code = Compose((Prune(0.5), Quantize("float16"))).project(Target({"w": w}))

    some = restricted(code, {"w": left(w)})

    kept = int(cut(code.decode()["w"]).count_nonzero())
    assert some.bits() == 16 * kept + restricted(code.codes[0], {"w": left(w)}).structure_bits()
    assert counted_bits(some) == 16 * kept


@pytest.mark.parametrize("outer", [(), (Filter(0.34),)], ids=["alone", "among surviving channels"])
@pytest.mark.parametrize("inner", [Quantize("float16"), Codebook(4), Quantize("int4", granularity="channel")], ids=str)
def test_factors_lose_rows_and_columns(outer: tuple, inner: object) -> None:
    family = dense_family("w", 9)
    name = "w.weight"
    w = drawn(9, 11)
    code = Compose((*outer, LowRank(rank=2), inner)).project(Target({name: w}, (family,)))
    keep = code.keep.get(family.name, torch.ones(9, dtype=torch.bool).numpy())
    mask = torch.zeros(9, 11, dtype=torch.bool)
    mask[torch.from_numpy(keep).nonzero(), COLUMNS] = True

    some = restricted(code, {name: mask})

    decoded = code.codes[-1].decode()
    alone = inner.project(
        Target({"left": decoded[f"{name}.left"][torch.from_numpy(keep)], "right": decoded[f"{name}.right"][:, COLUMNS]})
    )
    assert some.bits() == alone.bits()


def test_factors_that_save_nothing_any_more_are_multiplied_out() -> None:
    w = drawn(9, 11)
    code = LowRank(rank=3).project(Target({"w": w}))
    mask = torch.zeros(9, 11, dtype=torch.bool)
    mask[:4] = True

    assert code.bits() == 32 * 3 * 20
    assert restricted(code, {"w": mask}).bits() == 32 * 4 * 11 < 32 * 3 * 15


def test_sums_are_counted_by_summand() -> None:
    w = drawn(9, 11)
    code = Sum((Codebook(2), Prune(0.9))).project(Target({"w": w}))

    some = restricted(code, {"w": left(w)})

    book, sparse = (restricted(one, {"w": left(w)}) for one in code.codes)
    assert some.bits() == book.bits() + sparse.bits()
    assert book.bits() == 2 * 32 + len(ROWS) * len(COLUMNS) * math.ceil(math.log2(2))


def test_nothing_lost_is_nothing_changed() -> None:
    w = drawn(9, 11)
    for scheme in (*FORMS.values(), Prune(0.5), Sum((Codebook(2), Prune(0.9)))):
        code = scheme.project(Target({"w": w}))
        assert restricted(code, {}).bits() == code.bits()
