"""Windows over a stream of tokens: each token once in order, and shuffled passes that a number decides."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload import WindowBatches

streams = st.tuples(st.integers(2, 80), st.integers(1, 9), st.integers(1, 7)).filter(lambda s: s[0] > s[1])


def numbered(n: int, length: int, batch: int, **kwargs) -> WindowBatches:
    """Token i is i, so that every window tells where it came from."""
    return WindowBatches(torch.arange(n, dtype=torch.int32), length, batch, **kwargs)


@given(streams)
def test_a_fixed_pass_is_the_stream_in_order(sizes):
    # given
    n, length, batch = sizes
    batches = numbered(n, length, batch)

    # when
    passed = list(batches)

    # then
    inputs, targets = (torch.cat(parts) for parts in zip(*passed, strict=True))
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.shape == targets.shape == (batches.count, length)
    assert inputs.flatten().tolist() == list(range(batches.count * length))
    assert torch.equal(targets, inputs + 1)
    assert n - 1 - length < batches.count * length <= n - 1  # less than a window is left over
    assert len(passed) == len(batches) == batches.steps
    assert all(len(x) == batch for x, _ in passed[:-1])


@given(streams, st.integers(0, 5))
def test_an_epoch_follows_from_seed_and_number(sizes, number):
    # given
    n, length, batch = sizes
    batches = numbered(n, length, batch, seed=Seed(1), training=True)

    # when
    first, again = list(batches.epoch(number)), list(batches.epoch(number))

    # then
    assert len(first) == batches.steps == max(1, batches.count // batch)
    for (x, y), (same, _) in zip(first, again, strict=True):
        assert torch.equal(x, same)
        assert torch.equal(y, x + 1) and torch.equal(x - x[:, :1], torch.arange(length).expand_as(x))
    starts = torch.cat([x[:, 0] for x, _ in first])
    assert len(starts.unique()) >= len(starts) - 1  # the last window may be moved back onto another
    assert int(starts.min()) >= 0 and int(starts.max()) + length < n


def test_epochs_differ_and_start_their_windows_anywhere():
    # given
    batches = numbered(400, 10, 39, seed=Seed(0), training=True)

    # when
    starts = [next(batches.epoch(number))[0][:, 0] for number in range(200)]

    # then
    assert {int(s[0]) % 10 for s in starts} == set(range(10))
    assert len({tuple(s.tolist()) for s in starts}) == 200
    other = numbered(400, 10, 39, seed=Seed(1), training=True)
    assert not torch.equal(next(other.epoch(0))[0][:, 0], starts[0])


def test_a_part_that_is_read_has_one_order():
    batches = numbered(50, 7, 2)

    assert [x.tolist() for x, _ in batches.epoch(3)] == [x.tolist() for x, _ in batches]


def test_other_batches_hold_the_same_windows():
    batches = numbered(50, 7, 2, seed=Seed(3), training=True)

    wide = batches.rebatched(5)

    assert wide.count == batches.count and (wide.batch, wide.steps) == (5, 1)
    assert torch.cat([x for x, _ in wide]).tolist() == torch.cat([x for x, _ in batches]).tolist()
    assert next(wide.epoch(0))[0][:2].tolist() == next(batches.epoch(0))[0].tolist()


@pytest.mark.parametrize(("n", "length", "batch"), [(8, 8, 1), (0, 1, 1), (8, 0, 1), (8, 2, 0)])
def test_impossible_windows_are_refused(n, length, batch):
    with pytest.raises(WorkloadError, match=r"holds no window|at least 1"):
        numbered(n, length, batch)
