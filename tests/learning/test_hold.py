"""Fixed structure as an orthogonal projection, against the least-squares solution."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from condensa_core.learning.hold import Hold
from condensa_core.schemes import Freedom


@given(seed=st.integers(0, 2**31), channels_last=st.booleans())
def test_the_result_is_the_nearest_point_that_the_structure_allows(seed, channels_last):
    """The allowed moves are a linear space; least squares over an explicit basis of it is the oracle."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"a": (2, 3, 2, 2), "b": (4,)}
    start = {n: torch.randn(s, generator=draw, dtype=torch.float64) for n, s in shapes.items()}
    if channels_last:
        start["a"] = start["a"].contiguous(memory_format=torch.channels_last)
    labels = {n: torch.randint(-1, 4, s, generator=draw, dtype=torch.int32) for n, s in shapes.items()}
    signs = {n: torch.randint(0, 2, s, generator=draw) * 2 - 1 for n, s in shapes.items()}
    parameters = {n: nn.Parameter(t.clone()) for n, t in start.items()}
    hold = Hold(parameters, [Freedom(labels, signs)])

    moves = {n: torch.randn(s, generator=draw, dtype=torch.float64) for n, s in shapes.items()}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.add_(moves[name])
    hold()

    every = torch.cat([labels[n].flatten() for n in shapes])
    sign = torch.cat([signs[n].flatten() for n in shapes]).double()
    alone = torch.diag((every == -1).double())[:, every == -1]
    basis = torch.cat([alone, *((sign * (every == j)).unsqueeze(1) for j in (1, 2, 3))], dim=1)
    wanted = torch.cat([moves[n].flatten() for n in shapes])
    allowed = basis @ torch.linalg.pinv(basis) @ wanted
    found = torch.cat([(parameters[n].detach() - start[n]).flatten() for n in shapes])
    torch.testing.assert_close(found, allowed, rtol=1e-9, atol=1e-9)


def test_what_is_held_comes_back_bit_for_bit():
    parameter = nn.Parameter(torch.tensor([0.1, 0.2, 0.3]))
    hold = Hold({"w": parameter}, [Freedom({"w": torch.tensor([0, -1, 0], dtype=torch.int32)})])

    with torch.no_grad():
        parameter.mul_(1.7)
    hold()

    assert torch.equal(parameter.detach(), torch.tensor([0.1, 0.2 * 1.7, 0.3]))


def test_every_code_holds_its_own_and_numbers_of_two_codes_are_two():
    parameters = {name: nn.Parameter(torch.zeros(3)) for name in "ab"}
    label = torch.tensor([1, 1, 0], dtype=torch.int32)
    hold = Hold(parameters, [Freedom({"a": label}), Freedom({"b": label})])

    with torch.no_grad():
        parameters["a"].add_(torch.tensor([1.0, 3, 5]))
        parameters["b"].add_(torch.tensor([10.0, 30, 50]))
    hold()

    assert [p.tolist() for p in parameters.values()] == [[2, 2, 0], [20, 20, 0]]
