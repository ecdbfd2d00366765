"""What is wrong with weights is known from the plan, before data is read or a run directory made."""

import json

import pytest
import torch
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import WorkloadError
from condensa_core.recipe import read_recipe_text


def net(width):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, width), torch.nn.Linear(width, 10))


@pytest.fixture
def planned(tmp_path):
    """planned(weights): the plan of a recipe for `net(4)` with these weights beside it."""
    (tmp_path / "own.py").write_text(
        "import torch\ndef net():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.Linear(4, 10))\n"
    )

    def make(weights, name="w.pt"):
        torch.save(weights, tmp_path / "w.pt")
        rule = {"match": "all", "scheme": {"neuron": {"sparsity": "$s"}}}
        text = json.dumps(tiny(model={"python": "own.py:net", "weights": name}, reference=None, layers=[rule]))
        return flow.plan(read_recipe_text(text, str(tmp_path / "r.yaml")))

    return make


def test_weights_that_fit_are_planned_with(planned):
    assert planned(net(4).state_dict()).plan.rows()


@pytest.mark.parametrize(
    ("weights", "name", "said"),
    [
        (net(5).state_dict(), "w.pt", "does not fit the model"),
        ({"1.weight": torch.zeros(4, 64)}, "w.pt", "3 missing"),
        (net(4).state_dict(), "none.pt", "does not exist"),
        (net(4), "w.pt", "pickled"),
    ],
)
def test_others_are_refused_at_their_place(planned, weights, name, said):
    with pytest.raises(WorkloadError, match=said) as refused:
        planned(weights, name)

    assert refused.value.place is not None and name in refused.value.place.source
    assert refused.value.place.source[refused.value.place.column - 1 :].lstrip('"').startswith(name)
