"""Every pattern of the small floats is the value that torch reads it as."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from condensa_core.bench.small_floats import from_bfloat16, from_float8e4m3fn, from_float8e5m2


@pytest.mark.parametrize(
    ("read", "bits", "dtype"),
    [
        (from_bfloat16, np.arange(2**16, dtype=np.uint16), torch.bfloat16),
        (from_float8e4m3fn, np.arange(2**8, dtype=np.uint8), torch.float8_e4m3fn),
        (from_float8e5m2, np.arange(2**8, dtype=np.uint8), torch.float8_e5m2),
    ],
)
def test_every_pattern_is_the_value_that_torch_reads(read, bits, dtype):
    expected = torch.from_numpy(bits).view(dtype).float().numpy()

    found = read(bits)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)  # NaN where torch has it
    assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()
