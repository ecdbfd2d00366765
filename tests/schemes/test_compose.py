import pytest
import torch
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import Binary, Codebook, Compose, Filter, LowRank, Prune, Quantize, Sum, Target, moved_terms


def test_schemes_act_in_order_on_what_the_one_before_left():
    w = torch.linspace(-1, 1, 11)

    theta = Compose((Prune(0.5), Quantize())).project(Target({"w": w})).decode()["w"]

    by_hand = Prune(0.5).project(Target({"w": w})).decode()["w"].half().float()
    assert torch.equal(theta, by_hand)


def test_bits_combine_the_structure_of_one_with_the_width_of_the_other():
    w = torch.linspace(-1, 1, 64)

    code = Compose((Prune(0.5), Quantize())).project(Target({"w": w}))

    assert code.bits() == 32 * 16 + 64


def test_quantization_must_come_last():
    with pytest.raises(SchemeError, match="must come last"):
        Compose((Quantize(), Prune(0.5)))


def test_zeros_inside_surviving_channels_are_chosen_among_these_alone():
    target = Target(random_target({"a": (6, 5), "b": (4, 6)}, 2), (dense_family("a", 6, consumer="b"),))

    code = Compose((Filter(0.5), Prune(0.5))).project(target)

    outer = Filter(0.5).project(target)
    alive = outer.values().alive
    left = sum(int(mask.sum()) for mask in alive.values())
    dense = code.decode()
    assert sum(int(t.count_nonzero()) for t in dense.values()) == left - left // 2
    assert all(bool((t[~alive[name]] == 0).all()) for name, t in dense.items())
    assert [f for f, kept in code.keep.items() if kept.sum() == 3] == [target.families[0].name]


def test_two_of_a_kind_and_nothing_at_all_are_refused():
    with pytest.raises(SchemeError, match="same structure"):
        Compose((Prune(0.5), Prune(0.6)))
    with pytest.raises(SchemeError, match="at least one"):
        Compose(())


def test_biases_and_norms_go_with_their_channels_and_are_not_coded():
    family = dense_family("a", 6, bias=True, consumer="b")
    tensors = {"a.weight": torch.randn(6, 5), "a.bias": torch.rand(6) + 1}

    code = Compose((Filter(0.5), Binary())).project(Target(tensors, (family,)))

    dense = code.decode()
    kept = code.keep[family.name]
    assert torch.equal(dense["a.bias"][kept], tensors["a.bias"][kept]) and not dense["a.bias"][~kept].any()
    assert len(dense["a.weight"][kept].abs().unique()) == 1
    assert code.bits() == 3 * 5 + 32 + 3 * 32  # signs, c, biases
    assert code.freedom().labels["a.bias"].tolist() == [-int(k) for k in kept]


def test_a_sum_of_factors_is_told_as_a_product():
    w = torch.randn(8, 6)
    code = Compose((LowRank(rank=2), Sum((Codebook(2), Prune(0.8))))).project(Target({"w": w}))

    terms = moved_terms(code, {"w": torch.zeros_like(w)})["w"]

    torch.testing.assert_close(sum(term.dense() for term in terms), code.decode()["w"], rtol=1e-5, atol=1e-6)
