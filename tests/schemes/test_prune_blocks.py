from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.criteria import CRITERIA
from condensa_core.errors import SchemeError
from condensa_core.schemes import Block, Metric, Target
from condensa_core.schemes.blocks import aligned, block_labels
from condensa_core.schemes.counting import kept_of

BY_HAND = {
    "l1": sum,
    "sum": sum,
    "l2": lambda m: sum(x * x for x in m) ** 0.5,
    "scaled_l2": lambda m: sum(x * x for x in m) ** 0.5 / len(m),
    "max": max,
    "min": min,
    "mean": lambda m: sum(m) / len(m),
}


def small(shape, seed):
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def cut(tensor, block):
    """Flat positions of each block, from the definition."""
    at = torch.arange(tensor.numel()).view(tensor.shape)
    if len(block) != tensor.dim():
        at = at.flatten(1)
    steps = [
        [(i, e if b == -1 else b) for i in range(0, e, e if b == -1 else b)]
        for e, b in zip(at.shape, block, strict=True)
    ]
    return [at[tuple(slice(i, i + b) for i, b in corner)].flatten().tolist() for corner in product(*steps)]


cases = st.sampled_from(
    [
        ((4, 4), (2, 2)),
        ((3, 5), (2, 2)),  # ragged in both directions
        ((3, 5), (4, 9)),  # larger than the weight
        ((1, 1), (2, 2)),
        ((3, 4), (1, -1)),
        ((3, 4), (-1, 2)),
        ((5,), (2,)),
        ((2, 2, 2, 3), (2, 5)),  # two numbers: the matrix 2 x 12
        ((2, 3, 2, 2), (1, 1, -1, -1)),  # kernels
        ((2, 3, 3), (1, 2, 2)),
    ]
)


@given(cases, st.sampled_from(sorted(CRITERIA)), st.floats(0, 1), st.integers(0, 2**31))
@settings(max_examples=200)
def test_the_blocks_of_the_highest_scores_survive(case, criterion, sparsity, seed):
    shape, block = case
    w, energies = small(shape, seed), small(shape, seed + 1).abs()
    scheme = Block(sparsity, block, criterion)

    code = scheme.project(Target({"w": w}, metrics={"w": Metric(energies)}))

    blocks = cut(w, block)
    magnitudes = (w.abs().double() * energies.double().sqrt()).flatten().tolist()
    scores = [BY_HAND[criterion]([magnitudes[i] for i in b]) for b in blocks]
    kept = kept_of(len(blocks), sparsity)
    mask = code.masks["w"].flatten()
    chosen = [n for n, b in enumerate(blocks) if mask[b].all()]
    assert len(chosen) == kept and int(mask.sum()) == sum(len(blocks[n]) for n in chosen)
    assert sorted(scores[n] for n in chosen) == pytest.approx(sorted(scores, reverse=True)[:kept][::-1])
    assert code.structure_bits() == len(blocks)
    assert torch.equal(code.decode()["w"], torch.where(mask.view(shape), w, 0))
    again = scheme.project(Target(code.decode(), metrics={"w": Metric(energies)}))
    assert again.same_structure(code)


@given(cases, st.floats(0, 1), st.integers(0, 2**31))
def test_no_point_with_as_few_blocks_is_nearer(case, sparsity, seed):
    shape, block = case
    w, other = small(shape, seed), small((2, 3), seed + 1)
    both = (block if len(block) == 2 else None, (1, 2))

    target = {"w": w, "other": other} if both[0] is not None else {"w": w}
    code = Block(sparsity, block).project(Target(target))

    masses = [float(t.flatten()[b].square().sum()) for t in target.values() for b in cut(t, block)]
    kept = kept_of(len(masses), sparsity)
    best = max(sum(masses[i] for i in c) for c in combinations(range(len(masses)), kept))
    assert float(sum(t.square().sum() for t in code.decode().values())) == pytest.approx(best)


def test_equal_blocks_survive_by_position():
    code = Block(0.5, (1, 2)).project(Target({"w": torch.ones(2, 4)}))

    assert code.masks["w"].tolist() == [[True] * 4, [False] * 4]


def test_two_numbers_divide_the_matrix_of_a_convolution():
    shape = (4, 2, 3, 3)

    assert torch.equal(block_labels(shape, (2, 6), "w"), block_labels((4, 18), (2, 6), "w").view(shape))


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5]), min_size=1, max_size=5), min_size=1, max_size=2),
    st.integers(1, 3),
    st.data(),
)
def test_aligned_counts_are_multiples_and_worth_the_most(worth, align, data):
    tensors = {str(i): torch.tensor(w, dtype=torch.float64) for i, w in enumerate(worth)}
    total = sum(map(len, worth))
    kept = data.draw(st.integers(0, total))

    masks = aligned(tensors, kept, align)

    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    assert sum(counts.values()) <= kept
    assert all(count % align == 0 or count == len(tensors[name]) for name, count in counts.items())
    assert kept < total or sum(counts.values()) == total
    found = sum(float(tensors[name][mask].sum()) for name, mask in masks.items())
    # Against all choices of multiples; a tensor's last few, which are no multiple, only ever come on top.
    options = [range(0, len(w) + 1, align) for w in worth]
    best = max(
        sum(sum(sorted(w, reverse=True)[:c]) for w, c in zip(worth, choice, strict=True))
        for choice in product(*options)
        if sum(choice) <= kept
    )
    assert found >= best - 1e-9


def test_alignment_in_a_scheme():
    w = {"a": small((4, 6), 0), "b": small((2, 6), 1)}

    code = Block(0.4, (1, 2), align=3).project(Target(w))

    for name, mask in code.masks.items():
        assert int(mask.view(len(w[name]), 3, 2).all(-1).sum()) % 3 == 0
    assert sum(int(mask.sum()) for mask in code.masks.values()) == 2 * 9  # 11 of 18 blocks, down to a multiple


def test_a_criterion_of_ones_own_sees_blocks_by_size():
    seen = []

    def median(rows):
        seen.append(tuple(rows.shape))
        return rows.median(dim=1).values

    w = torch.tensor([[1.0, 1.0, 5.0], [1.0, 9.0, 5.0], [2.0, 2.0, 0.0]])

    code = Block(0.5, (2, 2), median).project(Target({"w": w}))

    assert sorted(seen) == [(1, 1), (1, 4), (2, 2)]
    assert code.masks["w"].int().tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_dead_entries_do_not_lower_a_mean():
    alive = torch.tensor([[True, False, True, True, False, False]])
    w = torch.tensor([[3.0, 0.0, 2.0, 2.0, 0.0, 0.0]])

    code = Block(0.5, (1, 2), "mean").project(Target({"w": w}, alive={"w": alive}))

    assert code.decode()["w"].tolist() == [[3, 0, 0, 0, 0, 0]]
    assert code.structure_bits() == 2  # the third block was not there to choose
    assert code.masks["w"].tolist() == [[True] + [False] * 5]


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_both_ends_are_legal(sparsity):
    code = Block(sparsity, (2, 2), align=2).project(Target({"w": torch.ones(5, 3)}))

    assert int(code.masks["w"].sum()) == (15 if sparsity == 0 else 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (0, 2)}, "whole numbers from 1"),
        ({"shape": ()}, "whole numbers from 1"),
        ({"shape": (1.5, 2)}, "whole numbers from 1"),
        ({"shape": (2, 2), "align": 0}, "at least 1"),
        ({"shape": (2, 2), "criterion": "meen"}, "did you mean"),
        ({"shape": (2, 2), "sparsity": 1.2}, "outside"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SchemeError, match=message):
        Block(**{"sparsity": 0.5, **settings})


def test_a_weight_of_other_dimensions_is_refused_by_name():
    with pytest.raises(SchemeError, match=r"does not fit fc\.weight, which has 2 dimensions: \[4, 4\]"):
        Block(0.5, (1, 1, 3, 3)).project(Target({"fc.weight": torch.ones(4, 4)}))


def test_nan_is_refused():
    with pytest.raises(SchemeError, match="w holds NaN"):
        Block(0.5, (1, 1)).project(Target({"w": torch.tensor([[1.0, torch.nan]])}))
