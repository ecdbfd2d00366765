"""Grids of small integers: nearest points, zero on the grid, blocks, storage, a second projection."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.schemes import Quantize, Target

SHAPES = [(1,), (7,), (), (1, 1), (4, 6), (3, 5), (3, 2, 2), (2, 3, 3, 1), (0, 4), (4, 0)]
number = st.one_of(st.sampled_from([0.0, 0.5, 1.0, -1.0, 1.5, -2.0]), st.floats(-10, 10, width=32))


@st.composite
def cases(draw, ranges=("max", "percentile", "mse")):
    """A scheme and a tensor, with ties, zeros and repeats."""
    shape = draw(st.sampled_from(SHAPES))
    size = int(np.prod(shape))
    values = draw(st.lists(number, min_size=size, max_size=size))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    granularity = draw(st.sampled_from(["tensor", "channel", "group"]))
    scheme = Quantize(
        draw(st.sampled_from(["int2", "int3", "int4", "int5", "int8", "uint2", "uint4", "uint8"])),
        granularity,
        draw(st.integers(1, 4)) if granularity == "group" else None,
        draw(st.booleans()),
        draw(st.sampled_from(ranges)),
        percentile=draw(st.sampled_from([100.0, 99.99, 75.0, 50.0])),
    )
    return scheme, torch.tensor(values, dtype=dtype).reshape(shape)


def project(scheme, w):
    return scheme.project(Target({"w": w}))


def block_of(scheme, w):
    """The number of the block that each weight belongs to, written down independently of the scheme."""
    numbers = torch.zeros(w.shape, dtype=torch.long)
    rows = w.shape[0] if w.dim() > 1 else 1
    length = w.numel() // rows if rows else 0
    for place in range(w.numel()):
        row, column = divmod(place, length)
        numbers.view(-1)[place] = {
            "tensor": 0,
            "channel": row,
            "group": row * (-(-length // scheme.group)) + column // scheme.group if scheme.group else 0,
        }[scheme.granularity]
    return numbers


@settings(max_examples=200)
@given(cases())
def test_every_weight_is_at_the_nearest_point_of_its_grid(case):
    scheme, w = case
    code = project(scheme, w)

    theta = code.decode()["w"]

    numbers = block_of(scheme, w)
    bits = scheme.value_bits
    for place in range(w.numel()):
        block = int(numbers.view(-1)[place])
        scale = float(code.scales["w"][block])
        if scheme.symmetric:
            levels = range(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1))
        else:
            zero = int(code.zeros["w"][block]) + (0 if scheme.dtype.startswith("u") else 2 ** (bits - 1))
            levels = range(-zero, 2**bits - zero)
        assert 0 in levels
        weight, found = float(w.view(-1)[place]), float(theta.view(-1)[place])
        points = [level * scale for level in levels]
        assert found in points
        assert abs(found - weight) <= min(abs(point - weight) for point in points) + 1e-15 * abs(weight)
        if scheme.range == "max":  # no weight lies beyond: the scale is rounded down by 2^-16 of itself at most
            assert abs(found - weight) <= (0.5 + 2**bits * 2.0**-16) * scale


@settings(max_examples=200)
@given(cases())
def test_a_second_projection_changes_nothing(case):
    scheme, w = case
    code = project(scheme, w)

    again = project(scheme, code.decode()["w"])

    assert torch.equal(again.decode()["w"], code.decode()["w"])
    assert again.same_structure(code) and code.same_structure(again)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_end_halfway_between_two_levels_is_found_again(sign):
    """-2.5 .. 252.5 in steps of 1: rounded to even, neither end would use its outermost level."""
    w = sign * torch.tensor([-2.5, 252.5, 17.0])
    code = project(Quantize("uint8", symmetric=False), w)

    again = project(Quantize("uint8", symmetric=False), code.decode()["w"])

    assert again.same_structure(code) and torch.equal(again.decode()["w"], code.decode()["w"])
    assert {int(code.levels["w"].min()), int(code.levels["w"].max())} == {0, 255}


def test_levels_with_a_common_divisor_are_stored_without_it():
    """Its least squares scale makes all levels even; the coarser grid with the same points is the one found again."""
    w = torch.tensor([[3.983306, 2.926379, -8.963518, -4.006559, -6.031840, -0.947854]])
    scheme = Quantize("int5", symmetric=False, range="mse")
    code = project(scheme, w)

    again = project(scheme, code.decode()["w"])

    assert again.same_structure(code) and torch.equal(again.decode()["w"], code.decode()["w"])
    assert np.gcd.reduce(code.levels["w"].numpy().ravel().astype(int) - int(code.zeros["w"][0])) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_half_precision_targets_keep_their_levels(dtype, symmetric, bits):
    w = torch.randn(6, 40, generator=torch.Generator().manual_seed(bits)).to(dtype)
    scheme = Quantize(f"int{bits}", "channel", symmetric=symmetric)
    code = project(scheme, w)

    again = project(scheme, code.decode()["w"])

    assert code.decode()["w"].dtype == dtype
    if (dtype, bits) != (torch.bfloat16, 8):  # whose 8 significant bits are as wide as half a level
        assert again.same_structure(code)


@given(cases())
def test_terms_are_the_decoded_tensor_to_the_bit(case):
    scheme, w = case
    code = project(scheme, w)

    (term,) = code.terms()["w"]

    assert torch.equal(term.dense(), code.decode()["w"])
    assert term.base.dtype in (torch.int8, torch.uint8)


@given(cases())
def test_levels_and_scales_alone_decode(case):
    """What is stored is enough, and fits the bits that are counted."""
    scheme, w = case
    code = project(scheme, w)
    arrays = code.arrays()

    numbers = block_of(scheme, w)
    levels = arrays["w.levels"].long()
    offset = 0 if not scheme.dtype.startswith("u") else 2 ** (scheme.value_bits - 1)
    zero = torch.full_like(levels, offset) if scheme.symmetric else arrays["w.zero"].long()[numbers]
    dense = (levels - zero).double() * arrays["w.scale"].double()[numbers]

    assert torch.equal(dense.to(w.dtype), code.decode()["w"])
    if scheme.dtype.startswith("u"):
        assert ((levels >= 0) & (levels < 2**scheme.value_bits)).all()
    else:
        half = 2 ** (scheme.value_bits - 1)
        assert ((levels >= -half) & (levels < half)).all()
    each = 32 + (0 if scheme.symmetric else scheme.value_bits)
    assert code.bits() == w.numel() * scheme.value_bits + arrays["w.scale"].numel() * each


@given(cases(ranges=("max", "percentile")))
def test_signed_and_unsigned_integers_are_the_same_grid(case):
    scheme, w = case
    other = scheme.dtype.removeprefix("u") if scheme.dtype.startswith("u") else "u" + scheme.dtype
    twin = Quantize(other, scheme.granularity, scheme.group, scheme.symmetric, scheme.range, scheme.percentile)

    assert torch.equal(project(scheme, w).decode()["w"], project(twin, w).decode()["w"])


@given(st.lists(number, min_size=1, max_size=60), st.sampled_from([99.99, 90.0, 75.0, 50.0, 12.5]), st.booleans())
def test_percentile_reaches_that_share_of_the_weights(values, percentile, symmetric):
    w = torch.tensor(values, dtype=torch.float64)

    code = project(Quantize("int8", symmetric=symmetric, range="percentile", percentile=percentile), w)

    scale = float(code.scales["w"][0])
    if symmetric:
        ranked = sorted(abs(v) for v in values)
        reach = ranked[ceil(Fraction(str(percentile)) * len(values) / 100) - 1] or ranked[-1]
        assert scale == (pytest.approx(reach / 127, rel=2**-15) if reach else 1)
        assert 127 * scale <= ranked[-1] or scale == 2.0**-126 or not any(values)  # the least scale of a file
    else:
        inside = (w - code.decode()["w"]).abs() <= scale * (0.5 + 255 * 2**-15)
        assert int(inside.sum()) >= ceil(Fraction(str(percentile)) * len(values) / 100)


def test_dead_weights_do_not_count_in_a_percentile():
    w = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    alive = w > 0
    scheme = Quantize("int8", range="percentile", percentile=75)

    code = scheme.project(Target({"w": w}, alive={"w": alive}))

    assert float(code.scales["w"][0]) == pytest.approx(3 / 127, rel=2**-15)  # one of the four lies beyond
    assert torch.equal(code.decode()["w"] != 0, alive)


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_memory_layout_does_not_matter(granularity):
    w = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    scheme = Quantize("int4", granularity, 7 if granularity == "group" else None, range="mse")

    plain = project(scheme, w).decode()["w"]

    assert torch.equal(project(scheme, w.to(memory_format=torch.channels_last)).decode()["w"], plain)
    assert torch.equal(project(scheme, w.mT.contiguous().mT).decode()["w"], plain)


def test_finer_blocks_are_never_further_away():
    w = torch.randn(16, 60, generator=torch.Generator().manual_seed(2)) * torch.logspace(-2, 1, 16)[:, None]
    errors = [
        float((project(scheme, w).decode()["w"] - w).square().sum())
        for scheme in (
            Quantize("int4", range="mse"),
            Quantize("int4", "channel", range="mse"),
            Quantize("int4", "group", 20, range="mse"),
        )
    ]

    assert errors[0] > errors[1] > errors[2]


def test_tiny_and_huge_weights_stay_finite():
    w = torch.tensor([[1e-300, -1e-310], [1e300, -1e305], [0.0, 0.0]], dtype=torch.float64)

    for symmetric in (True, False):
        code = project(Quantize("int8", "channel", symmetric=symmetric), w)

        assert code.decode()["w"].isfinite().all()
        assert code.scales["w"].isfinite().all() and (code.scales["w"] > 0).all()
        assert not code.decode()["w"][2].any()
