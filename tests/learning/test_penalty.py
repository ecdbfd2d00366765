import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from condensa_core.learning import Penalty


@given(seed=st.integers(0, 2**31), mu=st.floats(1e-4, 1e3))
def test_the_fused_gradient_is_that_of_autograd(seed, mu):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4), (5,), (2, 3, 2, 2)]
    parameters = [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in shapes]
    targets = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    loss = sum((p**3).sum() for p in parameters)
    penalty = sum(((p - t) ** 2).sum() for p, t in zip(parameters, targets, strict=True)) * mu / 2
    expected = torch.autograd.grad(loss + penalty, parameters)

    sum((p**3).sum() for p in parameters).backward()
    Penalty(parameters, targets, mu).add_gradient()

    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
