"""The promises of `schemes/contract.py`, over every member of the catalogue and their compositions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_families import dense_family, random_target

from condensa_core.errors import SchemeError
from condensa_core.schemes import SCHEMES, Compose, Prune, Quantize, Target, scheme_named

SPARSITY = 0.5
FAMILIES = (dense_family("a", 6, consumer="b"), dense_family("b", 4))


def example(name: str):
    return scheme_named(name)() if name == "quantize" else scheme_named(name)(sparsity=SPARSITY)


def composed():
    return [
        Compose((Prune(SPARSITY), Quantize())),
        Compose((example("filter"), Quantize())),
    ]


MEMBERS = [example(name) for name in SCHEMES] + composed()
NAMES = [*SCHEMES, "prune+half", "filter+half"]
every_scheme = pytest.mark.parametrize("scheme", MEMBERS, ids=NAMES)


def target_of(seed: int, dtype=torch.float32) -> Target:
    tensors = random_target({"a": (6, 5), "b": (4, 6)}, seed)
    return Target({name: tensor.to(dtype) for name, tensor in tensors.items()}, FAMILIES)


@every_scheme
@given(seed=st.integers(0, 2**31))
def test_decode_has_the_targets_names_shapes_and_dtype(scheme, seed):
    target = target_of(seed, torch.float64)

    dense = scheme.project(target).decode()

    assert list(dense) == list(target.tensors)
    for name, tensor in target.tensors.items():
        assert dense[name].shape == tensor.shape and dense[name].dtype == tensor.dtype


@every_scheme
@given(seed=st.integers(0, 2**31))
def test_the_target_is_not_touched(scheme, seed):
    target = target_of(seed)
    before = {name: tensor.clone() for name, tensor in target.tensors.items()}

    dense = scheme.project(target).decode()
    for tensor in dense.values():
        tensor.add_(1)  # nor does the code share memory with it

    for name, tensor in before.items():
        assert torch.equal(target.tensors[name], tensor)


@every_scheme
@given(seed=st.integers(0, 2**31))
def test_projection_is_idempotent_and_keeps_its_structure(scheme, seed):
    target = target_of(seed)
    code = scheme.project(target)

    again = scheme.project(Target(code.decode(), FAMILIES))

    assert again.same_structure(code) and code.same_structure(again)
    for name, tensor in code.decode().items():
        assert torch.equal(again.decode()[name], tensor)


@every_scheme
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.5, 2.0, 8.0]))
def test_scaling_the_weights_scales_the_projection(scheme, seed, scale):
    target = target_of(seed)

    scaled = scheme.project(Target({n: t * scale for n, t in target.tensors.items()}, FAMILIES)).decode()

    for name, tensor in scheme.project(target).decode().items():
        torch.testing.assert_close(scaled[name], tensor * scale, rtol=1e-6, atol=1e-6)


@every_scheme
def test_non_contiguous_and_channels_last_weights_are_projected_alike(scheme):
    target = target_of(3)
    transposed = Target({n: t.t().contiguous().t() for n, t in target.tensors.items()}, FAMILIES)

    for name, tensor in scheme.project(target).decode().items():
        assert torch.equal(scheme.project(transposed).decode()[name], tensor)


@every_scheme
def test_bits_are_fewer_than_dense_and_positive(scheme):
    target = target_of(5)
    dense_bits = sum(32 * t.numel() for t in target.tensors.values())

    assert 0 < scheme.project(target).bits() < dense_bits


@every_scheme
def test_arrays_are_named_tensors(scheme):
    arrays = scheme.project(target_of(5)).arrays()

    assert arrays and all(isinstance(tensor, torch.Tensor) for tensor in arrays.values())


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
