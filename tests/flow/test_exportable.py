"""A model that no file can hold is refused at its line, before anything is trained."""

import pytest
import torch
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import ExportFailed, WorkloadError
from condensa_core.export import export_onnx
from condensa_core.progress import Advanced, PhaseStarted
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml

OWN = """
import torch
from torch import nn


def swirl(x):
    return x.sin() * x


if not hasattr(torch.ops.condensa_tests, "swirl"):
    swirl = torch.library.custom_op("condensa_tests::swirl", swirl, mutates_args=(), schema="(Tensor x) -> Tensor")
    swirl.register_fake(lambda x: torch.empty_like(x))


class Net(nn.Module):
    def __init__(self, swirling=True):
        super().__init__()
        self.stem, self.body = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head, self.swirling = nn.Linear(512, 10), swirling

    def forward(self, x):
        x = self.body(self.stem(x).relu())
        return self.head((torch.ops.condensa_tests.swirl(x) if self.swirling else x.relu()).flatten(1))
"""


@pytest.fixture
def own(tmp_path):
    """own(swirling): a recipe whose model has, or has not, an operator that ONNX cannot know."""
    (tmp_path / "net.py").write_text(OWN)

    def recipe(swirling):
        text = resolved_yaml(recipe_from(tiny(model={"python": "net.py:Net", "args": {"swirling": swirling}})))
        return read_recipe_text(text, str(tmp_path / "own.yaml"))

    return recipe


@pytest.mark.parametrize("command", ["plan", "run"])
def test_an_operator_without_a_counterpart_in_onnx_is_refused_at_the_models_line(own, command, tmp_path):
    recipe, events = own(True), []
    line = next(n for n, text in enumerate(resolved_yaml(recipe).splitlines(), 1) if "net.py:Net" in text)

    with pytest.raises(WorkloadError, match=r"could not export Net: No ONNX .*condensa_tests\.swirl") as caught:
        if command == "plan":
            flow.plan(recipe, listener=events.append)
        else:
            flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache", listener=events.append)

    assert caught.value.exit_code == 2 and caught.value.hint
    assert (caught.value.place.file, caught.value.place.line) == (str(tmp_path / "own.yaml"), line)
    assert "\x1b" not in str(caught.value) and "Next steps" not in str(caught.value)
    assert not any(isinstance(event, Advanced) for event in events)  # nothing was trained
    assert not (tmp_path / "runs").exists()


def test_a_model_that_can_be_exported_is_planned(own):
    events = []

    assert flow.plan(own(False), listener=events.append).plan.rows()

    assert [e.phase for e in events if isinstance(e, PhaseStarted)] == ["analyse", "export"]


def test_a_model_of_ours_is_not_tried():
    events = []

    flow.plan(recipe_from(tiny()), listener=events.append)

    assert [e.phase for e in events if isinstance(e, PhaseStarted)] == ["analyse"]


def test_what_the_users_forward_raises_is_quoted_from_its_bottom(tmp_path):
    class Picky(torch.nn.Module):
        def forward(self, x):
            raise ValueError("not with me\nand more")

    with pytest.raises(ExportFailed) as refusal:
        export_onnx(Picky(), (torch.zeros(2, 3),), tmp_path / "picky.onnx")

    assert refusal.value.message.endswith("could not export Picky: not with me")
