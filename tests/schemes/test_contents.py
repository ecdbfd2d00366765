"""What a code decides, whatever it is composed of."""

from __future__ import annotations

import pytest
import torch
from small_families import dense_family

from condensa_core.schemes import (
    Binary,
    Codebook,
    Compose,
    Filter,
    LowRank,
    Prune,
    Quantize,
    Target,
    Ternary,
    counted_bits,
    leaves_little_free,
    narrow_of,
    only_channels,
)

HALF, BRAIN = Quantize("float16"), Quantize("bfloat16")


def code_of(scheme):
    w = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    bias = torch.tensor([1.0, 0, 2, 0, 3, 4])
    tensors = {"a.weight": w, "a.bias": bias} if scheme.name in ("filter", "compose") else {"a.weight": w}
    return scheme.project(Target(tensors, (dense_family("a", 6, bias=True),)))


@pytest.mark.parametrize("scheme", [Codebook(3), Binary(), Ternary(), Quantize("int8"), Quantize("uint3")], ids=str)
@pytest.mark.parametrize("before", [(), (Prune(0.5),), (Filter(0.5),), (LowRank(rank=2),)], ids=str)
def test_books_signs_and_grids_leave_little_free(scheme, before):
    assert leaves_little_free(code_of(Compose((*before, scheme)) if before else scheme))


@pytest.mark.parametrize(
    "scheme",
    [
        Prune(0.5),
        Filter(0.5),
        LowRank(rank=2),
        HALF,
        Compose((Prune(0.5), HALF)),
        Compose((Filter(0.5), BRAIN)),
        Compose((LowRank(rank=2), Prune(0.5))),
    ],
    ids=str,
)
def test_survivors_factors_and_half_precision_are_free(scheme):
    assert not leaves_little_free(code_of(scheme))


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (HALF, {"a.weight": torch.float16}),
        (Compose((Filter(0.5), BRAIN)), {"a.weight": torch.bfloat16}),  # the bias is passed by
        (Compose((LowRank(rank=2), HALF)), {f"a.weight.{side}": torch.float16 for side in ("left", "right")}),
        (Compose((Filter(0.5), Codebook(3))), {}),
        (Quantize("int8"), {}),
        (Prune(0.5), {}),
    ],
    ids=str,
)
def test_only_half_precision_is_narrow(scheme, expected):
    assert {n: d for n, d in narrow_of(code_of(scheme)).items() if n != "a.bias"} == expected


def test_papers_count_numbers_that_are_not_zero_and_books():
    w = torch.tensor([[4.0, 3, 0.5, 0], [2.0, 0.1, 0, 1]])

    def count(scheme):
        return counted_bits(scheme.project(Target({"w": w})))

    assert count(Prune(kappa=3)) == 3 * 32
    assert count(Prune(kappa=8)) == 6 * 32  # two survivors are zero
    assert count(Compose((Prune(kappa=8), HALF))) == 6 * 16
    assert count(Compose((Prune(kappa=4), Codebook(2)))) == 4 * 1 + 2 * 32  # assignments and the book, no positions
    assert count(HALF) == 6 * 16
    assert count(Binary()) == 8 + 32


def test_what_channels_carry_along_is_counted_without_its_zeros():
    code = code_of(Compose((Filter(0.5), Binary())))

    kept = torch.from_numpy(code.keep["a"])
    bias = torch.tensor([1.0, 0, 2, 0, 3, 4])[kept]
    assert counted_bits(code) == 3 * 8 + 32 + 32 * int(bias.count_nonzero())


def test_channels_alone_say_nothing_of_their_weights():
    assert only_channels(code_of(Filter(0.5)))
    assert not any(only_channels(code_of(scheme)) for scheme in (Prune(0.5), Compose((Filter(0.5), HALF))))
