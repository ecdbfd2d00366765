"""What the recipe room says of schemes, held against their projections: the metric they heed, the tensors they join."""

import pytest
import torch

from condensa_core.plan.assignment import built
from condensa_core.recipe import STRUCTURED, SchemeSpec
from condensa_core.schemes import SCHEMES, Metric, Target

NAMES = ("a", "b")
CASES = (
    {"prune": {"sparsity": 0.5}},
    {"prune": {"kappa": 9, "norm": "l1"}},
    {"prune": {"pattern": "2:4"}},
    {"block": {"sparsity": 0.5, "shape": (2, 2)}},
    {"quantize": {"dtype": "float16"}},
    {"quantize": {"dtype": "int3", "range": "mse"}},
    {"quantize": {"dtype": "uint4", "granularity": "channel", "range": "mse", "symmetric": False}},
    {"codebook": {"size": 4}},
    {"binary": {}},
    {"binary": {"scale": False}},
    {"ternary": {}},
    {"lowrank": {"rank": 2}},
    {"lowrank": {"energy": 0.7}},
    {"lowrank": {"select": "storage", "budget": 0.5}},
)
spread = pytest.mark.parametrize("case", CASES, ids=str)


def tensors():
    random = torch.Generator().manual_seed(3)
    return {name: scale * torch.randn(6, 8, generator=random) for name, scale in zip(NAMES, (1.0, 0.2), strict=True)}


def metrics():
    random = torch.Generator().manual_seed(4)
    return {name: Metric(torch.rand(1, 8, generator=random) ** 4 + 1e-3) for name in NAMES}


def projected(scheme, given, weighed=None):
    return scheme.project(Target(given, metrics=weighed or {})).decode()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in NAMES)


@spread
def test_a_scheme_heeds_the_metric_where_the_recipe_room_says_so(case):
    spec = SchemeSpec.model_validate(case)
    scheme = built(spec, {}, {})

    heeded = not same(projected(scheme, tensors()), projected(scheme, tensors(), metrics()))

    assert heeded == spec.heeds_metric


@spread
def test_a_scheme_projects_tensors_apart_where_the_recipe_room_says_so(case):
    spec = SchemeSpec.model_validate(case)
    scheme = built(spec, {}, {})

    alone = {name: projected(scheme, {name: tensor})[name] for name, tensor in tensors().items()}

    assert same(projected(scheme, tensors()), alone) == spec.projects_apart


def test_schemes_that_remove_units_heed_no_metric():
    assert {name for name, scheme in SCHEMES.items() if not scheme.facts.metrics} == set(STRUCTURED)
    assert not any(SchemeSpec.model_validate({kind: {"sparsity": 0.5}}).heeds_metric for kind in STRUCTURED)
