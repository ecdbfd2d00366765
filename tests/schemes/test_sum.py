"""Sums of small forms: descent, what moves at fixed structure, and what the packed file is told afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from condensa_core.errors import SchemeError
from condensa_core.learning.hold import Hold
from condensa_core.schemes import Binary, Codebook, Filter, LowRank, Prune, Sum, Target, Ternary


def weights(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(scheme, w: torch.Tensor) -> float:
    return float((w - scheme.project(Target({"w": w})).decode()["w"]).double().square().sum())


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_a_sum_is_nearer_than_any_summand_and_than_one_pass(seed):
    w = weights(seed, 9, 7)
    book, few = Codebook(2), Prune(sparsity=0.9)

    first = book.project(Target({"w": w})).decode()["w"]
    one_pass = first + few.project(Target({"w": w - first})).decode()["w"]

    assert error(Sum((book, few)), w) <= min(error(book, w), error(few, w)) + 1e-9
    assert error(Sum((book, few)), w) <= float((w - one_pass).double().square().sum()) * (1 + 1e-6)


def test_a_matrix_of_rank_one_and_few_large_entries_is_found_whole():
    w = torch.outer(weights(0, 12), weights(1, 10))
    w[3, 4] += 40
    w[7, 1] -= 50

    decoded = Sum((Prune(kappa=2), LowRank(rank=1))).project(Target({"w": w})).decode()["w"]

    torch.testing.assert_close(decoded, w, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scheme", [Sum((Codebook(2), Prune(0.9))), Sum((Codebook(3), LowRank(rank=1), Prune(0.9)))])
def test_after_moving_within_its_freedom_a_sum_is_still_made_of_its_parts(scheme):
    """Fine-tuning moves entries; then the book has as many values as before, and the parts add up to the tensor."""
    w = weights(5, 20, 15)
    code = scheme.project(Target({"w": w}))
    parameter = nn.Parameter(code.decode()["w"])
    hold = Hold({"w": parameter}, [code.freedom()])
    with torch.no_grad():
        parameter.add_(0.1 * weights(6, 20, 15))
    hold()

    terms = code.moved_terms({"w": parameter.detach() - code.decode()["w"]})["w"]

    total = torch.stack([term.dense() for term in terms]).sum(0)
    torch.testing.assert_close(total, parameter.detach(), rtol=0, atol=1e-5)
    book, corrections = terms[0].dense(), terms[-1].dense()
    assert len(book.unique()) == scheme.schemes[0].size
    assert int(corrections.count_nonzero()) <= 30
    assert not torch.equal(book, code.codes[0].decode()["w"])  # it did move


def test_numbers_of_different_summands_move_apart():
    tensors = {"a": weights(1, 9, 8), "b": weights(2, 5, 4)}
    code = Sum((Ternary(), Codebook(3))).project(Target(tensors))
    signs, book = (one.freedom() for one in code.codes)

    free = code.freedom()

    key_of: dict[int, tuple[str, int]] = {}
    for name, label in free.labels.items():
        for at in np.ndindex(*label.shape):
            # A sign that is zero holds its entry: what moves there is a number of the book.
            mine = ("c", 1) if signs.labels[name][at] else ("book", int(book.labels[name][at]))
            assert key_of.setdefault(int(label[at]), mine) == mine
            assert int(free.signs[name][at]) == (int(signs.signs[name][at]) if mine[0] == "c" else 1)
    assert sorted(key_of.values()) == [("book", 1), ("book", 2), ("book", 3), ("c", 1)]


def test_entries_move_on_their_own_where_any_summand_lets_them():
    code = Sum((Codebook(2), Prune(0.9))).project(Target({"w": weights(3, 10, 10)}))

    label = code.freedom().labels["w"]

    assert torch.equal(label == -1, code.codes[1].masks["w"])
    assert set(label.unique().tolist()) == {-1, *label[~code.codes[1].masks["w"]].unique().tolist()}


@pytest.mark.parametrize("first", [Binary(), Ternary()], ids=str)
def test_a_moved_magnitude_stays_one_magnitude_over_all_tensors(first):
    tensors = {"a": weights(7, 12, 15), "b": weights(8, 9, 5)}
    code = Sum((first, Prune(0.9))).project(Target(tensors))
    parameters = {name: nn.Parameter(dense) for name, dense in code.decode().items()}
    hold = Hold(parameters, [code.freedom()])
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(1.2)
    hold()

    terms = code.moved_terms({name: p.detach() - code.decode()[name] for name, p in parameters.items()})

    magnitudes = torch.cat([terms[name][0].dense().abs().flatten() for name in terms])
    magnitudes = magnitudes[magnitudes > 0]
    assert magnitudes.max() - magnitudes.min() < 1e-6
    assert float(magnitudes.mean()) == pytest.approx(1.2 * float(code.codes[0].magnitude), rel=0.05)
    for name, parameter in parameters.items():
        total = torch.stack([term.dense() for term in terms[name]]).sum(0)
        torch.testing.assert_close(total, parameter.detach(), rtol=0, atol=1e-5)
        assert torch.equal(terms[name][1].dense() != 0, code.codes[1].masks[name])


def test_what_makes_no_sum_is_refused():
    with pytest.raises(SchemeError, match="at least two"):
        Sum((Codebook(2),))
    with pytest.raises(SchemeError, match="filter cannot be a summand"):
        Sum((Filter(0.5), Binary()))
