import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Quantize, Target


@given(st.lists(st.floats(-60000, 60000, width=32), min_size=1, max_size=20))
def test_every_weight_becomes_its_nearest_half(values):
    theta = Quantize().project(Target({"w": torch.tensor(values)})).decode()["w"]

    assert theta.tolist() == np.float32(np.float16(np.float32(values))).tolist()


def test_beyond_the_range_weights_saturate_instead_of_becoming_infinite():
    theta = Quantize().project(Target({"w": torch.tensor([1e6, -1e6, 65504.0])})).decode()["w"]

    assert theta.tolist() == [65504.0, -65504.0, 65504.0]


def test_other_dtypes_are_not_available_yet():
    with pytest.raises(SchemeError, match="not available in this version"):
        Quantize(dtype="int8")
