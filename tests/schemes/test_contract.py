"""The promises of `schemes/contract.py`, over every member of the catalogue and their compositions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scheme_examples import examples
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import (
    SCHEMES,
    Binary,
    Codebook,
    Compose,
    Filter,
    LowRank,
    Prune,
    Quantize,
    Sum,
    Target,
    Ternary,
    scheme_named,
)

FAMILIES = (dense_family("a", 6, consumer="b"), dense_family("b", 4))
COMPOSED = {
    "prune+half": Compose((Prune(0.5), Quantize("float16"))),
    "filter+half": Compose((Filter(0.5), Quantize("float16"))),
    "filter+prune+codebook": Compose((Filter(0.4), Prune(0.5), Codebook(3))),
    "filter+lowrank": Compose((Filter(0.4), LowRank(rank=2))),
    "prune+codebook": Compose((Prune(0.5), Codebook(3))),
    "prune+int8": Compose((Prune(0.5), Quantize("int8", granularity="channel"))),
    "prune+ternary": Compose((Prune(0.5), Ternary())),
    "lowrank+codebook": Compose((LowRank(rank=2), Codebook(4))),
    "lowrank+prune+half": Compose((LowRank(rank=2), Prune(0.3), Quantize("bfloat16"))),
}
# A sum is a local minimum of a joint problem, and the product of compressed factors has other factors: their
# projections are found again only as points nearby.
SUMS = {
    "sum of book and corrections": Sum((Codebook(2), Prune(0.9))),
    "sum of rank and corrections": Sum((LowRank(rank=1), Prune(0.8))),
    "sum of three": Sum((LowRank(rank=1), Prune(0.9), Binary())),
    "filter+sum": Compose((Filter(0.4), Sum((Codebook(2), Prune(0.9))))),
}
EVERY = {**examples(), **COMPOSED, **SUMS}
AGAIN = {name: scheme for name, scheme in EVERY.items() if name not in SUMS and not name.startswith("lowrank+")}
few = settings(max_examples=12)  # there are many schemes, and each has tests of its own
every_scheme = pytest.mark.parametrize("scheme", EVERY.values(), ids=EVERY)


def target_of(seed: int, dtype=torch.float32) -> Target:
    tensors = random_target({"a": (6, 5), "b": (4, 6)}, seed)
    return Target({name: tensor.to(dtype) for name, tensor in tensors.items()}, FAMILIES)


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_decode_has_the_targets_names_shapes_and_dtype(scheme, seed):
    target = target_of(seed, torch.float64)

    dense = scheme.project(target).decode()

    assert list(dense) == list(target.tensors)
    for name, tensor in target.tensors.items():
        assert dense[name].shape == tensor.shape and dense[name].dtype == tensor.dtype


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_the_target_is_not_touched(scheme, seed):
    target = target_of(seed)
    before = {name: tensor.clone() for name, tensor in target.tensors.items()}

    dense = scheme.project(target).decode()
    for tensor in dense.values():
        tensor.add_(1)  # nor does the code share memory with it

    for name, tensor in before.items():
        assert torch.equal(target.tensors[name], tensor)


@pytest.mark.parametrize("scheme", AGAIN.values(), ids=AGAIN)
@few
@given(seed=st.integers(0, 2**31))
def test_projection_is_idempotent_and_keeps_its_structure(scheme, seed):
    target = target_of(seed)
    code = scheme.project(target)

    again = scheme.project(Target(code.decode(), FAMILIES))

    if scheme not in COMPOSED.values():  # a survivor that is rounded to zero may change places with a removed weight
        assert again.same_structure(code) and code.same_structure(again)
    for name, tensor in code.decode().items():
        if any(one.facts.structure == "rank" for one in getattr(scheme, "schemes", (scheme,))):
            torch.testing.assert_close(again.decode()[name], tensor, rtol=1e-5, atol=1e-6)  # singular values round
        else:
            assert torch.equal(again.decode()[name], tensor)


@pytest.mark.parametrize("scheme", AGAIN.values(), ids=AGAIN)
@few
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.5, 2.0, 8.0]))
def test_scaling_the_weights_scales_the_projection(scheme, seed, scale):
    target = target_of(seed)

    scaled = scheme.project(Target({n: t * scale for n, t in target.tensors.items()}, FAMILIES)).decode()

    for name, tensor in scheme.project(target).decode().items():
        torch.testing.assert_close(scaled[name], tensor * scale, rtol=1e-5, atol=1e-5)


@every_scheme
def test_non_contiguous_and_channels_last_weights_are_projected_alike(scheme):
    target = target_of(3)
    transposed = Target({n: t.t().contiguous().t() for n, t in target.tensors.items()}, FAMILIES)

    for name, tensor in scheme.project(target).decode().items():
        assert torch.equal(scheme.project(transposed).decode()[name], tensor)


@every_scheme
def test_bits_are_no_more_than_dense_and_positive(scheme):
    target = target_of(5)
    dense_bits = sum(32 * t.numel() for t in target.tensors.values())

    assert 0 < scheme.project(target).bits() <= dense_bits


@every_scheme
def test_arrays_are_named_tensors(scheme):
    arrays = scheme.project(target_of(5)).arrays()

    assert arrays and all(isinstance(tensor, torch.Tensor) for tensor in arrays.values())


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_a_code_is_its_structure_and_its_values(scheme, seed):
    code = scheme.project(target_of(seed))

    values = code.values()

    numbers = sum(
        8 * t.element_size() * int(values.alive[n].sum() if n in values.alive else t.numel())
        for n, t in values.tensors.items()
    )
    assert code.bits() == code.structure_bits() + numbers
    rebuilt = code.rebuild(values.tensors)
    assert all(torch.equal(rebuilt[name], tensor) for name, tensor in code.decode().items())


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_terms_add_up_to_the_decoded_tensors(scheme, seed):
    code = scheme.project(target_of(seed))

    terms = code.terms()

    for name, tensor in code.decode().items():
        total = torch.stack([term.dense() for term in terms[name]]).sum(0)
        torch.testing.assert_close(total, tensor, rtol=1e-6, atol=1e-6)


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_entries_that_share_a_number_are_equal_up_to_sign(scheme, seed):
    code = scheme.project(target_of(seed))

    freedom, dense = code.freedom(), code.decode()

    assert freedom.labels.keys() == dense.keys()
    assert all(label.shape == dense[name].shape for name, label in freedom.labels.items())
    if scheme in SUMS.values():
        return  # they move alike; what others add to them differs
    shared: dict[int, float] = {}
    for name, label in freedom.labels.items():
        signed = dense[name] * freedom.signs.get(name, torch.ones(()))
        for j, value in zip(label.flatten().tolist(), signed.flatten().tolist(), strict=True):
            if j > 0:
                assert shared.setdefault(j, value) == value


@every_scheme
@few
@given(seed=st.integers(0, 2**31))
def test_what_an_earlier_scheme_removed_stays_zero_and_costs_nothing(scheme, seed):
    """A scheme of channels comes first in a composition, so nothing was removed before it."""
    if getattr(scheme, "schemes", (scheme,))[0].facts.structure == "channel":
        return
    whole = target_of(seed)
    shapes = {name: tuple(t.shape) for name, t in whole.tensors.items()}
    alive = {name: (torch.arange(shape[-1]) != 2).expand(shape) for name, shape in shapes.items()}
    target = Target({n: t * alive[n] for n, t in whole.tensors.items()}, alive=alive)

    code = scheme.project(target)

    for name, tensor in code.decode().items():
        assert bool((tensor[~alive[name]] == 0).all())
    assert code.bits() <= 32 * sum(int(mask.sum()) for mask in alive.values())


@every_scheme
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_scheme_works_in_the_dtype_of_its_target(scheme, dtype):
    tensors = {name: t.to(dtype) for name, t in target_of(11).tensors.items()}

    dense = scheme.project(Target(tensors, FAMILIES)).decode()

    assert all(tensor.dtype == dtype and bool(tensor.isfinite().all()) for tensor in dense.values())


@every_scheme
def test_facts_are_stated(scheme):
    facts = scheme.facts

    assert facts.summary and facts.source and facts.shrinks_file and facts.speeds_up


@pytest.mark.parametrize("name", list(SCHEMES))
def test_every_scheme_answers_to_its_name(name):
    assert SCHEMES[name].name == name


def test_a_near_name_is_suggested():
    with pytest.raises(SchemeError, match="did you mean 'filter'"):
        scheme_named("fliter")
