import pytest
import torch
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import Compose, Filter, Prune, Quantize, Target


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
