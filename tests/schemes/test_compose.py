import pytest
import torch
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import (
    Binary,
    Codebook,
    Compose,
    Filter,
    LowRank,
    Metric,
    Prune,
    Quantize,
    Sum,
    Target,
    moved_terms,
)


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


@pytest.mark.parametrize("inner", [(Binary(),), (LowRank(rank=2), Codebook(3)), (Prune(0.5),)], ids=str)
def test_what_is_passed_by_is_among_values_arrays_and_terms(inner):
    family = dense_family("a", 6, bias=True, consumer="b")
    tensors = {"a.weight": torch.randn(6, 5), "a.bias": torch.rand(6) + 1}

    code = Compose((Filter(0.5), *inner)).project(Target(tensors, (family,)))

    dense, values, kept = code.decode(), code.values(), torch.from_numpy(code.keep[family.name])
    assert torch.equal(values.tensors["a.bias"], dense["a.bias"]) and torch.equal(values.alive["a.bias"], kept)
    assert torch.equal(code.arrays()["a.bias"], dense["a.bias"])
    for name, terms in code.terms().items():
        torch.testing.assert_close(sum(term.dense() for term in terms), dense[name], rtol=1e-5, atol=1e-6)
    assert code.terms().keys() == dense.keys()
    rebuilt = code.rebuild({**values.tensors, "a.bias": torch.arange(6.0) + 1})
    assert rebuilt["a.bias"].tolist() == [float((i + 1) * alive) for i, alive in enumerate(kept.tolist())]
    torch.testing.assert_close(rebuilt["a.weight"], dense["a.weight"])


def test_what_is_known_of_a_tensor_reaches_the_schemes_behind_the_first():
    """Metrics, masks and uses of the target hold for the survivors, too: else the second projection is another one."""
    w, alive = torch.randn(6, 8), torch.rand(6, 8) > 0.2
    weights = torch.rand(6, 8) ** 4
    target = Target({"w": w * alive}, metrics={"w": Metric(weights)}, alive={"w": alive}, mu=3.0)

    code = Compose((Prune(0.4), Codebook(3))).project(target)

    survivors = code.codes[0].values().alive["w"]
    assert not (survivors & ~alive).any()
    alone = Codebook(3).project(Target({"w": w * survivors}, metrics={"w": Metric(weights)}, alive={"w": survivors}))
    assert torch.equal(code.decode()["w"], alone.decode()["w"])


def test_prices_behind_the_first_scheme_know_mu_and_uses():
    family = dense_family("a", 6, consumer="b")
    known = {"mu": 2.0, "uses": {"a.weight": 5.0}}
    target = Target({"a.weight": torch.randn(6, 9, generator=torch.Generator().manual_seed(0))}, (family,), **known)
    priced = LowRank(select="flops", alpha=0.2)

    code = Compose((Filter(0.34), priced)).project(target)

    survivors = code.codes[0].values()
    alone = priced.project(Target(survivors.tensors, alive=survivors.alive, **known))
    cheap = priced.project(Target(survivors.tensors, alive=survivors.alive, mu=2.0))
    assert code.codes[1].ranks == alone.ranks != cheap.ranks


def test_a_sum_of_factors_is_told_as_a_product():
    w = torch.randn(8, 6)
    code = Compose((LowRank(rank=2), Sum((Codebook(2), Prune(0.8))))).project(Target({"w": w}))

    terms = moved_terms(code, {"w": torch.zeros_like(w)})["w"]

    torch.testing.assert_close(sum(term.dense() for term in terms), code.decode()["w"], rtol=1e-5, atol=1e-6)
