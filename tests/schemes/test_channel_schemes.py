from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import Filter, Target
from condensa_core.schemes.channels import select_units, zero_units
from condensa_core.schemes.counting import kept_of


@given(seed=st.integers(0, 2**31), sparsity=st.floats(0, 1))
def test_kept_units_are_optimal_among_all_choices_of_that_many(seed, sparsity):
    sizes = {"a": (4, 3), "b": (3, 2)}
    target = Target(random_target(sizes, seed), tuple(dense_family(n, u) for n, (u, _) in sizes.items()))

    keep = Filter(sparsity, norm="none").project(target).keep

    norms = {n: torch.linalg.vector_norm(target.tensors[f"{n}.weight"], dim=1) ** 2 for n in sizes}
    kept = max(2, kept_of(7, sparsity))
    assert sum(int(k.sum()) for k in keep.values()) == kept
    choices = [
        (a, b)
        for a in product([0, 1], repeat=4)
        for b in product([0, 1], repeat=3)
        if sum(a) + sum(b) == kept and sum(a) and sum(b)
    ]
    removed = [sum((1 - np.array(m)) @ norms[n].numpy() for n, m in zip(sizes, c, strict=True)) for c in choices]
    ours = sum(float(norms[n][torch.as_tensor(~keep[n])].sum()) for n in sizes)
    assert ours == pytest.approx(min(removed), abs=1e-5)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    align=st.integers(1, 5),
    sparsity=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_aligned_counts_are_multiples_within_the_budget(sizes, align, sparsity, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {str(i): torch.rand(n, generator=generator) for i, n in enumerate(sizes)}

    keep = select_units(scores, sparsity, align)

    least = {name: min(align, s.numel()) for name, s in scores.items()}
    for name, mask in keep.items():
        count = int(mask.sum())
        assert count == mask.size or count % align == 0
        assert count >= least[name]
        assert (
            scores[name][torch.as_tensor(mask)].min() >= scores[name][torch.as_tensor(~mask)].max()
            if (~mask).any()
            else True
        )
    total = sum(int(m.sum()) for m in keep.values())
    budget = max(kept_of(sum(sizes), sparsity), sum(least.values()))
    assert total <= budget
    if align == 1:
        assert total == budget


def test_permuting_units_permutes_the_choice():
    tensors = random_target({"a": (9, 4)}, 1)
    family = dense_family("a", 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))

    keep = Filter(0.5).project(Target(tensors, (family,))).keep["a"]
    shuffled = Filter(0.5).project(Target({"a.weight": tensors["a.weight"][order]}, (family,))).keep["a"]

    assert np.array_equal(shuffled, keep[order.numpy()])


def test_scaled_norms_keep_a_quiet_layer_alive():
    tensors = random_target({"loud": (8, 4), "quiet": (8, 4)}, 0)
    tensors["quiet.weight"] *= 1e-3
    target = Target(tensors, (dense_family("loud", 8), dense_family("quiet", 8)))

    raw = Filter(0.5, norm="none").project(target).keep
    scaled = Filter(0.5).project(target).keep

    assert raw["quiet"].sum() == 1 and raw["loud"].sum() == 7  # only the guaranteed survivor
    assert scaled["quiet"].sum() >= 3


def test_removed_units_lose_rows_and_followers_but_consumers_are_left_to_the_evaluation():
    family = dense_family("a", 4, bias=True, consumer="b")
    tensors = {"a.weight": torch.diag(torch.tensor([1.0, 4.0, 3.0, 2.0])), "a.bias": torch.ones(4)}

    code = Filter(0.5).project(Target(tensors, (family,)))
    consumer = {"b.weight": torch.ones(2, 4)}
    zero_units(consumer, (family,), code.keep, consumers=True)

    assert code.keep["a"].tolist() == [False, True, True, False]
    assert code.decode()["a.bias"].tolist() == [0, 1, 1, 0]
    assert consumer["b.weight"].tolist() == [[0, 1, 1, 0]] * 2
    assert code.arrays()["a.weight"].shape == (2, 4) and code.bits() == 32 * (2 * 4 + 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 1.5}, "outside"),
        ({"sparsity": 0.5, "align": 0}, "align"),
        ({"sparsity": 0.5, "criterion": "synfow"}, "criterion"),
        ({"sparsity": 0.5, "norm": "batch"}, "norm"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SchemeError, match=message):
        Filter(**settings)
