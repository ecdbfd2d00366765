"""`quantize`: half precision against numpy and enumeration, settings, what a code promises."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Prune, Quantize, Target

WIDE = {"float64": torch.float64, "float32": torch.float32}


@given(st.lists(st.floats(-60000, 60000, width=32), min_size=1, max_size=20))
def test_every_weight_becomes_its_nearest_half(values):
    theta = Quantize().project(Target({"w": torch.tensor(values)})).decode()["w"]

    assert theta.tolist() == np.float32(np.float16(np.float32(values))).tolist()


@given(st.lists(st.floats(-60000, 60000), min_size=1, max_size=20))
def test_float64_is_rounded_once(values):
    w = torch.tensor(values, dtype=torch.float64)

    theta = Quantize().project(Target({"w": w})).decode()["w"]

    assert theta.tolist() == np.float64(np.float16(np.float64(values))).tolist()


def test_float64_just_above_a_tie_is_rounded_up():
    # 1 + 2^-11 lies between 1 and the next half; float32, on the way, would take it for the tie and choose the even 1
    w = torch.tensor([1 + 2**-11 + 2**-40, -1 - 2**-11 - 2**-40, 1 + 2**-8 + 2**-40], dtype=torch.float64)

    half = Quantize("float16").project(Target({"w": w})).decode()["w"]
    brain = Quantize("bfloat16").project(Target({"w": w})).decode()["w"]

    assert half.tolist() == [1 + 2**-10, -1 - 2**-10, 1 + 2**-8]
    assert brain.tolist() == [1.0, -1.0, 1 + 2**-7]


BFLOATS = (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)
FINITE = np.unique(BFLOATS[np.isfinite(BFLOATS)]).astype(np.float64)


@given(st.sampled_from(list(WIDE)), st.lists(st.floats(-1e38, 1e38), min_size=1, max_size=20))
def test_every_weight_becomes_its_nearest_bfloat16(dtype, values):
    w = torch.tensor(values, dtype=WIDE[dtype])

    theta = Quantize("bfloat16").project(Target({"w": w})).decode()["w"].double().numpy()

    after = np.clip(np.searchsorted(FINITE, w.double().numpy()), 1, len(FINITE) - 1)  # all bfloat16 numbers in a row
    distance = np.minimum(abs(FINITE[after] - w.double().numpy()), abs(FINITE[after - 1] - w.double().numpy()))
    assert (abs(theta - w.double().numpy()) == distance).all()
    assert np.isin(theta, FINITE).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("own", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_beyond_the_range_weights_saturate_instead_of_becoming_infinite(dtype, own):
    w = torch.tensor([1e6, -1e6, 65504.0, 1e300, 1e-300], dtype=torch.float64).to(own)
    w = w.nan_to_num()  # where the target's own dtype has made infinities of them

    code = Quantize(dtype).project(Target({"w": w}))

    theta = code.decode()["w"]
    assert theta.isfinite().all() and theta.dtype == own
    assert torch.equal(theta, code.halves["w"].to(own))
    again = Quantize(dtype).project(Target({"w": theta})).decode()["w"]
    assert torch.equal(again, theta)
    if dtype == "float16" and own == torch.float32:
        assert theta.tolist()[:3] == [65504.0, -65504.0, 65504.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint4"])
def test_what_an_earlier_scheme_removed_stays_zero_and_costs_nothing(dtype):
    w = torch.tensor([[1.0, -2.0, 0.1], [3.0, 0.2, -4.0]])
    pruned = Prune(0.5).project(Target({"w": w})).values()

    code = Quantize(dtype, symmetric=dtype != "uint4").project(pruned)

    theta = code.decode()["w"]
    assert theta[0, 2] == theta[1, 1] == 0
    dead = w.numel() - int(pruned.alive["w"].sum())
    whole = Quantize(dtype, symmetric=dtype != "uint4").project(Target(pruned.tensors))
    assert whole.bits() - code.bits() == dead * Quantize(dtype).value_bits
    assert dead == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint3"])
def test_nothing_is_left_to_compress(dtype):
    w = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    code = Quantize(dtype).project(Target({"w": w}))

    assert dict(code.values().tensors) == {}
    assert code.structure_bits() == code.bits()
    assert torch.equal(code.rebuild({})["w"], code.decode()["w"])
    assert code.freedom().labels["w"].dtype == torch.int32
    moves = -1 if "float" in dtype else 0  # half precision is rounded anew after training, a grid is not left
    assert code.freedom().labels["w"].shape == w.shape and bool((code.freedom().labels["w"] == moves).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int9"}, "int9"),
        ({"dtype": "int1"}, "int1"),
        ({"dtype": "float32"}, "float32"),
        ({"dtype": "int8", "granularity": "row"}, "granularity 'row'"),
        ({"dtype": "int8", "granularity": "group"}, "group"),
        ({"dtype": "int8", "group": 32}, "group"),
        ({"dtype": "int8", "granularity": "group", "group": 0}, "at least 1"),
        ({"dtype": "int8", "range": "entropy"}, "range 'entropy'"),
        ({"dtype": "int8", "percentile": 0}, "percentile"),
        ({"dtype": "int8", "percentile": 100.5}, "percentile"),
        ({"dtype": "float16", "granularity": "channel"}, "no scale"),
        ({"dtype": "bfloat16", "symmetric": False}, "no scale"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SchemeError, match=message):
        Quantize(**settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_grid_refuses_weights_it_cannot_reach(value):
    with pytest.raises(SchemeError, match=r"conv\.weight holds NaN or infinity"):
        Quantize("int8").project(Target({"conv.weight": torch.tensor([1.0, value])}))


def test_facts_say_where_the_search_is_exhaustive():
    assert Quantize("int4", range="mse").facts.exact
    assert Quantize("int8").facts.exact
    assert not Quantize("int8", range="mse").facts.exact
    assert Quantize.facts.exact  # the class's own are untouched
