import pytest
import torch

from condensa_core.errors import SchemeError
from condensa_core.schemes import Codebook, Compose, Metric, Prune, Target


def tensors(dtype=torch.float32, seed=0, rows=60):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (rows, 50), "b": (7, 3, 2)}
    return {n: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for n, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("size", "zero"), [(1, False), (2, False), (2, True), (7, True), (40, False)])
@pytest.mark.parametrize("rows", [3, 60])
def test_a_second_projection_changes_nothing(dtype, size, zero, rows):
    code = Codebook(size, zero=zero).project(Target(tensors(dtype, rows=rows)))
    dense = code.decode()

    again = Codebook(size, zero=zero).project(Target(dense))

    assert again.same_structure(code) and code.same_structure(again)
    assert all(torch.equal(again.decode()[n], t) and t.dtype == dtype for n, t in dense.items())
    values = torch.cat([t.flatten() for t in dense.values()] + [torch.zeros(int(zero), dtype=dtype)])
    assert values.unique().numel() <= size


def test_the_book_is_joint():
    code = Codebook(3).project(Target(tensors()))

    assert torch.cat([t.flatten() for t in code.decode().values()]).unique().tolist() == code.book.tolist()


def test_bits_are_those_of_the_book_and_of_assignments():
    count = 60 * 50 + 7 * 3 * 2

    bits = {size: Codebook(size).project(Target(tensors())).bits() for size in (1, 2, 3, 16, 17)}

    assert bits == {
        1: 32,
        2: count + 2 * 32,
        3: 2 * count + 3 * 32,
        16: 4 * count + 16 * 32,
        17: 5 * count + 17 * 32,
    }


def test_few_values_stay_as_they_are_and_make_a_small_book():
    weights = torch.tensor([[0.3, -1.0], [0.3, 2.0]])

    code = Codebook(16).project(Target({"w": weights}))

    assert torch.equal(code.decode()["w"], weights)
    assert code.bits() == 3 * 32 + 2 * 4


def test_many_equal_weights_are_not_moved_by_rounding():
    # 95 % zeros beside others: their number is zero, not the remains of a subtraction
    weights = torch.randn(100_000, generator=torch.Generator().manual_seed(1)).add_(10)
    weights[:95_000] = 0

    dense = Codebook(4).project(Target({"w": weights})).decode()["w"]

    assert torch.equal(dense[:95_000], weights[:95_000])


def test_what_an_earlier_scheme_removed_stays_zero_and_costs_nothing():
    target = Target(tensors(), alive={"a": tensors()["a"] > 0.5})

    code = Codebook(4).project(target)

    alive = int(target.alive["a"].sum()) + 42
    assert code.bits() == 2 * alive + 4 * 32
    assert not code.decode()["a"][~target.alive["a"]].any()
    assert not code.freedom().labels["a"][~target.alive["a"]].any()
    survivors = torch.cat((target.tensors["a"][target.alive["a"]], target.tensors["b"].flatten()))
    alone = Codebook(4).project(Target({"w": survivors}))
    assert torch.equal(alone.book, code.book)


def test_nothing_alive_is_legal():
    weights = torch.ones(5)

    code = Compose((Prune(sparsity=1.0), Codebook(4))).project(Target({"w": weights}))

    assert not code.decode()["w"].any()


def test_entries_of_one_number_move_together_and_the_pinned_zero_stays():
    weights = torch.tensor([[-2.0, 0.1, 3.0], [3.1, -0.1, -2.2]])

    free = Codebook(3, zero=True).project(Target({"w": weights})).freedom()

    labels = free.labels["w"]
    assert labels.dtype == torch.int32
    assert labels[0, 1] == labels[1, 1] == 0
    assert labels[0, 0] == labels[1, 2] > 0 and labels[0, 2] == labels[1, 0] > 0
    assert labels[0, 0] != labels[0, 2]


def test_structure_is_who_shares_a_number():
    weights = tensors()
    code = Codebook(4).project(Target(weights))

    moved = Codebook(4).project(Target({n: 2 * t for n, t in weights.items()}))
    other = Codebook(4).project(Target({n: -t for n, t in weights.items()}))

    assert code.same_structure(moved) and not code.same_structure(other)
    assert not code.same_structure(Codebook(5).project(Target(weights)))


def test_any_layout_of_memory_gives_the_same():
    weights = torch.randn(40, 8, 3, 3, generator=torch.Generator().manual_seed(2))

    plain = Codebook(6).project(Target({"w": weights}))
    channels_last = Codebook(6).project(Target({"w": weights.to(memory_format=torch.channels_last)}))

    assert torch.equal(plain.decode()["w"], channels_last.decode()["w"])


def test_a_metric_row_weighs_columns():
    weights = torch.tensor([[0.0, 1.0], [4.0, 5.0]])
    metric = {"w": Metric(torch.tensor([1.0, 3.0]))}

    dense = Codebook(2).project(Target({"w": weights}, metrics=metric)).decode()["w"]

    assert dense.tolist() == [[0.75, 0.75], [4.75, 4.75]]


@pytest.mark.parametrize(("size", "zero"), [(0, False), (-1, False), (1, True)])
def test_impossible_sizes_are_refused(size, zero):
    with pytest.raises(SchemeError, match="size must be at least"):
        Codebook(size, zero=zero)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad):
    with pytest.raises(SchemeError, match="NaN or infinite"):
        Codebook(2).project(Target({"w": torch.tensor([1.0, bad])}))
