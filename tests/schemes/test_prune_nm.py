import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.schemes import Metric, Prune, Target
from condensa_core.schemes.nm import FineGrained

shapes = st.sampled_from([(1,), (5,), (1, 1), (3, 7), (2, 8), (2, 5, 3), (2, 6, 2, 2)])
patterns = st.sampled_from([(2, 4), (1, 4), (0, 3), (3, 3), (1, 1), (4, 8)])


def small(shape, seed):
    """Integers: ties, zeros and repeats."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def runs(tensor, m):
    """Lists of the flat positions of each group, from the definition: consecutive inputs at the same other indices."""
    at = torch.arange(tensor.numel()).view(tensor.shape)
    rows = at.movedim(1, -1).reshape(-1, tensor.shape[1]) if tensor.dim() > 1 else at.view(1, -1)
    return [row[i : i + m].tolist() for row in rows for i in range(0, len(row), m)]


@given(shapes, patterns, st.integers(0, 2**31))
def test_every_group_keeps_its_best(shape, pattern, seed):
    n, m = pattern
    w = small(shape, seed)
    energies = small(shape, seed + 1).abs()

    code = Prune(pattern=f"{n}:{m}").project(Target({"w": w}, metrics={"w": Metric(energies)}))

    theta, flat, worth = code.decode()["w"].flatten(), w.flatten(), (energies * w.square()).flatten().tolist()
    for run in runs(w, m):
        kept = [i for i in run if code.masks["w"].flatten()[i]]
        assert len(kept) == min(n, len(run))
        assert sum(worth[i] for i in kept) == max(sum(worth[i] for i in c) for c in combinations(run, len(kept)))
        assert kept == sorted(sorted(run, key=lambda i: (-worth[i], i))[: len(kept)])  # ties: the earlier input
        assert all(theta[i] == (flat[i] if i in kept else 0) for i in run)


@given(shapes, st.integers(0, 2**31))
def test_groups_are_numbered_as_they_are_cut(shape, seed):
    w = small(shape, seed)

    groups = FineGrained(2, 4).groups(w).flatten()

    cut = runs(w, 4)
    assert all(len({int(groups[i]) for i in run}) == 1 for run in cut)
    assert sorted(groups.unique().tolist()) == list(range(len(cut)))


def test_a_convolution_is_grouped_along_its_input_channels():
    w = torch.zeros(1, 4, 1, 2)
    w[0, :, 0, 0] = torch.tensor([1.0, 4.0, 3.0, 2.0])
    w[0, :, 0, 1] = torch.tensor([8.0, 5.0, 6.0, 7.0])

    theta = Prune(pattern="2:4").project(Target({"w": w})).decode()["w"]

    assert theta[0, :, 0, 0].tolist() == [0, 4, 3, 0]
    assert theta[0, :, 0, 1].tolist() == [8, 0, 0, 7]


def test_positions_cost_the_choices_of_a_group():
    code = Prune(pattern="2:4").project(Target({"w": torch.randn(3, 10)}))

    # per row two groups of four, C(4, 2) = 6 choices, and a rest of two that stays whole
    assert code.structure_bits() == 3 * (3 + 3 + 0)
    assert code.bits() == code.structure_bits() + 3 * 6 * 32


@given(st.integers(0, 2**31))
def test_dead_entries_are_no_choice(seed):
    generator = torch.Generator().manual_seed(seed)
    alive = torch.rand(4, 8, generator=generator) < 0.6
    w = torch.randn(4, 8, generator=generator) * alive

    code = Prune(pattern="2:4").project(Target({"w": w}, alive={"w": alive}))

    left = alive.view(-1, 4).sum(1)
    assert torch.equal(code.masks["w"].view(-1, 4).sum(1), left.clamp(max=2))
    assert code.structure_bits() == sum(math.ceil(math.log2(math.comb(a, min(a, 2)))) for a in left.tolist())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_and_memory_formats(dtype):
    w = torch.randn(4, 8, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)

    theta = Prune(pattern="2:4").project(Target({"w": w.to(memory_format=torch.channels_last)})).decode()["w"]

    assert theta.dtype == dtype
    assert torch.equal(theta, Prune(pattern="2:4").project(Target({"w": w})).decode()["w"])
