"""Arguments that cannot be meant are refused, with what is expected instead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.errors import SchemeError, UsageError
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_program, deliver, deliverable, masked, shrink

IMAGES = (torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)),)
HALF = {"stem": np.arange(8) % 2 == 0}


class Residual(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, width, 1), nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.stem(x).relu()
        return self.head((x + self.inner(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def residual():
    torch.manual_seed(0)
    model = Residual().eval()
    return model, analyse(model, IMAGES)


@pytest.mark.parametrize(
    ("routes", "complaint"),
    [
        ("module", r"'module' and 'program', got 'module'; write \('module',\)"),
        (("module", "copy"), "no route 'copy'; routes are 'module' and 'program'"),
        ((), r"got \(\)"),
        (None, "got a NoneType"),
    ],
)
def test_routes_are_a_tuple_of_routes(residual, routes, complaint):
    with pytest.raises(UsageError, match=complaint):
        deliver(*residual, HALF, IMAGES, routes)


def test_a_branch_does_not_go_without_the_program(residual):
    with pytest.raises(UsageError, match="whole branches can only go from the captured program"):
        deliver(*residual, {}, IMAGES, ("module",), without=["inner"])

    assert deliver(*residual, {}, IMAGES, ("program",), without=["inner"]).route == "program"


@pytest.mark.parametrize("use", [cut_program, masked])
def test_branches_are_named_in_a_list(residual, use):
    with pytest.raises(UsageError, match=r"branches are named in a list, got the text 'inner'; write \['inner'\]"):
        use(*residual, {}, without="inner")
    with pytest.raises(SchemeError, match="no branch 'outer'; its branches: inner"):
        use(*residual, {}, without=["outer"])


def test_the_model_is_that_of_the_graph(residual):
    _, graph = residual
    complaint = r"another model than this Residual: 'stem.weight' has shape \(5, 3, 1, 1\) here.*\(8, 3, 1, 1\) there"

    for refused in (
        lambda model: deliver(model, graph, HALF, IMAGES),
        lambda model: deliverable(model, graph, IMAGES),
        lambda model: cut_program(model, graph, HALF),
        lambda model: masked(model, graph, HALF),
        lambda model: shrink(model, graph, HALF),
    ):
        with pytest.raises(UsageError, match=complaint):
            refused(Residual(5))
    with pytest.raises(UsageError, match=r"'stem\.weight' does not exist here"):
        deliver(nn.Linear(3, 2), graph, {}, IMAGES)


@pytest.mark.parametrize("keep", [[True], "stem", None])
def test_keep_names_families(residual, keep):
    with pytest.raises(SchemeError, match=r"keep must map names of families to boolean vectors"):
        deliver(*residual, keep, IMAGES)


def test_a_family_in_place_of_its_name_is_told_its_name(residual):
    model, graph = residual

    with pytest.raises(SchemeError, match="write 'stem', its name"):
        shrink(model, graph, {graph.family("stem"): np.ones(8, bool)})


def test_examples_are_tuples_of_tensors(residual):
    model, graph = residual

    for refused in (
        lambda: deliver(model, graph, HALF, IMAGES[0]),
        lambda: deliverable(model, graph, IMAGES[0]),
        lambda: check_equivalence(model, model, IMAGES[0]),
    ):
        with pytest.raises(UsageError, match=r"a tuple of tensors.*got a single tensor; write \(x,\)"):
            refused()
    assert check_equivalence(model, model, list(IMAGES)) == 0
