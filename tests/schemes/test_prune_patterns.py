from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Metric, Prune, Target, check_pattern

# Labels with gaps, in any order, some of them negative.
labels_of_vectors = st.lists(st.sampled_from([-1, 0, 3, 4, 900]), min_size=1, max_size=8)


def whole_numbers(n, seed):
    return torch.randint(-2, 3, (n,), generator=torch.Generator().manual_seed(seed)).float()


@given(labels_of_vectors, st.integers(0, 2**31), st.data())
def test_the_best_groups_survive_and_those_in_none_stay(labels, seed, data):
    w, labels = whole_numbers(len(labels), seed), torch.tensor(labels)
    energies = whole_numbers(len(labels), seed + 1).abs()
    groups = labels[labels >= 0].unique().tolist()
    kappa = data.draw(st.integers(0, len(groups)))
    scheme = Prune(kappa=kappa, pattern=lambda shape: labels)

    code = scheme.project(Target({"w": w}, metrics={"w": Metric(energies)}))

    def left(kept):
        gone = torch.tensor([label >= 0 and label not in kept for label in labels.tolist()])
        return float((energies * w.square())[gone].sum())

    mask = code.masks["w"]
    kept = {label for label in groups if mask[labels == label].all()}
    assert len(kept) == kappa and all(not mask[labels == label].any() for label in set(groups) - kept)
    assert mask[labels < 0].all()
    assert left(kept) == pytest.approx(min(left(set(c)) for c in combinations(groups, kappa)), abs=1e-6)
    assert code.structure_bits() == len(groups)
    again = scheme.project(Target(code.decode(), metrics={"w": Metric(energies)}))
    assert again.same_structure(code)


@given(labels_of_vectors, st.integers(0, 2**31), st.floats(0, 2), st.floats(0.1, 2))
def test_the_penalty_weighs_every_group_by_its_size(labels, seed, alpha, mu):
    w, labels = whole_numbers(len(labels), seed), torch.tensor(labels)

    code = Prune(alpha=alpha, form="penalty", pattern=lambda shape: labels).project(Target({"w": w}, mu=mu))

    for label in labels[labels >= 0].unique().tolist():
        mine = labels == label
        keeping, dropping = alpha * int(mine.sum()), mu / 2 * float(w[mine].square().sum())
        kept = bool(code.masks["w"][mine].all())
        assert (dropping >= keeping - 1e-9) if kept else (dropping <= keeping + 1e-9)


def test_equal_groups_survive_by_their_first_entry_not_by_their_label():
    labels = torch.tensor([7, 2, 7, 2])

    code = Prune(0.5, pattern=lambda shape: labels).project(Target({"w": torch.ones(4)}))

    assert code.masks["w"].tolist() == [True, False, True, False]


def test_groups_are_counted_over_all_tensors():
    def columns(shape):
        return np.broadcast_to(np.arange(shape[1]), shape)

    w = {"a": torch.full((3, 4), 0.1), "b": torch.full((2, 4), 1.0)}

    code = Prune(0.5, pattern=columns).project(Target(w))

    assert not code.masks["a"].any() and code.masks["b"].all()
    assert code.structure_bits() == 8


def test_another_criterion_may_aggregate_the_magnitudes():
    labels = torch.tensor([0, 0, 1, 1])
    w = torch.tensor([3.0, 0.0, -2.0, 2.0])

    def kept(criterion):
        scheme = Prune(0.5, pattern=lambda shape: labels, criterion=criterion)
        return scheme.project(Target({"w": w})).masks["w"][0].item()

    assert [kept(c) for c in ("magnitude", "max", "min", "mean", lambda rows: -rows.sum(1))] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_dead_entries_leave_their_group_and_empty_groups_are_not_counted():
    labels = torch.tensor([0, 0, 1, 1, 2, 2, -1])
    alive = torch.tensor([True, False, True, True, False, False, False])
    w = torch.tensor([3.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])

    code = Prune(0.5, pattern=lambda shape: labels, criterion="mean").project(Target({"w": w}, alive={"w": alive}))

    assert code.decode()["w"].tolist() == [3, 0, 0, 0, 0, 0, 0]
    assert code.masks["w"].tolist() == [True] + [False] * 6
    assert code.structure_bits() == 2


class Checkerboard:
    """A pattern may be any object that can be called."""

    def __call__(self, shape):
        return np.indices(shape).sum(axis=0) % 2


def test_a_sound_pattern_is_counted():
    assert check_pattern(Checkerboard(), (3, 4)) == 2
    assert check_pattern(lambda shape: [[0, 1], [5, -1]], (2, 2)) == 3


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (lambda shape: torch.zeros(2, 3, dtype=torch.int64), r"returns shape \(2, 3\) for a weight of shape \(3, 2\)"),
        (lambda shape: torch.zeros(shape), "must return integers, got float32"),
        (lambda shape: np.ones(shape, dtype=bool), "must return integers, got bool"),
        (lambda shape: "all", "must return integers, got str"),
        (lambda shape: None, "must return integers, got NoneType"),
        (lambda shape: [[1, 2], [3]], "must return integers, got list"),
        (lambda shape: torch.full(shape, -1), "every label is negative"),
        (lambda shape: shape[7], "fails for shape .*IndexError"),
        (lambda shape: torch.randint(0, 9999, shape), "another answer"),
    ],
)
def test_a_broken_pattern_is_refused_with_what_is_wrong(pattern, message):
    with pytest.raises(SchemeError, match=message):
        check_pattern(pattern, (3, 2))
