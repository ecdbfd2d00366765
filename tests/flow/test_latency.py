"""How fast a model gets when one group is cut: which cuts, timed how, and what is left when it is stopped."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from condensa_core.bench import BenchTarget
from condensa_core.errors import Interrupted, UsageError
from condensa_core.flow.latency import kept_counts, latencies, target_named
from condensa_core.flow.workbench import Modelled
from condensa_core.graph import analyse, count_macs
from condensa_core.materialise import deliverable, shrink
from condensa_core.progress import Advanced, Note, PhaseEnded, PhaseStarted, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from

VECTORS = (torch.randn(2, 32, generator=torch.Generator().manual_seed(0)),)


class Wide(nn.Module):
    """Nearly all of its work is in the 1024 hidden units; 4 outputs of the front are too few to matter."""

    def __init__(self):
        super().__init__()
        self.front = nn.Linear(32, 4)
        self.hidden = nn.Linear(4, 1024)
        self.norm = nn.BatchNorm1d(1024)
        self.more = nn.Linear(1024, 256)
        self.head = nn.Linear(256, 8)

    def forward(self, x):
        return self.head(self.more(self.norm(self.hidden(self.front(x)).relu())))


class Squeezing(nn.Module):
    """`squeeze` drops the channels as soon as one is left."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(32, 8)
        self.b = nn.Linear(8, 4)

    def forward(self, x):
        return self.b(self.a(x).squeeze())


def modelled(model, example=VECTORS):
    return Modelled(model, example, *deliverable(model, analyse(model, example), example))


def timed(model, listener=silent, **settings):
    target = BenchTarget(**settings)
    return latencies(modelled(model), target, seconds=0.1, seed=Seed(), listener=listener)


@pytest.fixture(scope="module")
def wide():
    """The model, its tensors before, and what was found of it."""
    model = Wide()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return model, before, timed(model, batch=32)


@given(size=st.integers(2, 5000))
def test_kept_counts_go_down_to_one_unit_and_are_never_all(size):
    counts = kept_counts(size)

    assert list(counts) == sorted(set(counts), reverse=True)
    assert counts[-1] == 1 and counts[0] < size
    for share in (0.75, 0.5, 0.25):
        # halves round to even: at most half a unit away
        assert min(abs(count - share * size) for count in counts) <= 0.5 or share * size < 1


def test_cutting_where_the_work_is_makes_it_faster(wide):
    _, _, found = wide

    hidden = next(group for group in found.groups if group.name == "hidden")
    assert (hidden.size, [cut.kept for cut in hidden.cuts]) == (1024, [768, 512, 256, 1])
    assert [cut.ratio.verdict for cut in hidden.cuts[1:]] == ["faster"] * 3
    values = [cut.ratio.value for cut in hidden.cuts]
    assert values == sorted(values)
    assert found.to_json()["cpu_time"] and found.to_json()["target"]["batch"] == 32


def test_the_mac_ratios_are_those_of_models_cut_on_their_own(wide):
    model, _, found = wide

    for group in found.groups:
        for cut in group.cuts:
            small = shrink(model, analyse(model, VECTORS), {group.name: np.arange(group.size) < cut.kept})
            assert cut.macs_ratio == pytest.approx(count_macs(model, VECTORS) / count_macs(small, VECTORS))


def test_an_untrained_model_is_traced_once_and_its_cuts_exchange_weights(monkeypatch):
    # the folded biases of a fresh model are both zero: were they merged into one, no cut would fit the file
    traced = []
    export = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *given, **named: traced.append(1) or export(*given, **named))

    found = timed(
        nn.Sequential(
            *(nn.Linear(32, 8, bias=False), nn.BatchNorm1d(8)),
            *(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8)),
            nn.Linear(8, 4),
        )
    )

    assert sum(len(group.cuts) for group in found.groups) == 8
    assert len(traced) == 1


def test_a_cut_that_does_not_run_has_its_reason_and_spoils_no_other():
    found = timed(Squeezing())

    (group,) = found.groups
    assert [cut.ratio is None for cut in group.cuts] == [False, False, False, True]
    assert "does not run" in group.cuts[-1].problem or "shape" in group.cuts[-1].problem
    assert group.to_json()["cuts"][-1].keys() == {"kept", "macs_ratio", "problem"}


def test_what_is_done_and_about_how_long_is_told_before_the_start_and_progress_ends_at_the_total():
    events = []

    found = timed(Squeezing(), events.append)

    doing, estimate, started = events[:3]
    assert isinstance(doing, Note) and "timing the whole model" in doing.message
    assert estimate.message.startswith("latency: 4 cuts of 1 group, each about ")
    assert " to cut and export and 100 ms to time; in all about " in estimate.message
    assert "at most" not in estimate.message
    done = [event.done for event in events if isinstance(event, Advanced)]
    assert done == sorted(done) and done[-1] == started.total == sum(len(g.cuts) for g in found.groups)
    assert isinstance(started, PhaseStarted) and isinstance(events[-1], PhaseEnded)


@pytest.mark.parametrize("event", [0, 3, 7, 12])
def test_it_can_be_stopped_at_any_event_and_leaves_no_file(tmp_path, monkeypatch, event):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    heard = []

    def listener(now):
        heard.append(now)
        if len(heard) > event:
            raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        timed(Wide(), listener)

    assert list(tmp_path.iterdir()) == []
    assert len(heard) == event + 1


def test_the_model_is_left_as_it_was(wide):
    model, before, _ = wide

    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_model_without_groups_is_measured_in_no_time():
    assert timed(nn.Linear(32, 4)).groups == ()


def test_the_target_is_the_named_one_or_that_of_the_objective():
    recipe = recipe_from(
        {
            "condensa": 1,
            "model": {"builtin": "small-cnn"},
            "data": {"builtin": "digits"},
            "layers": [{"match": "all", "scheme": {"filter": {}}}],
            "constraint": {"metric": "top1", "max_drop": "2pp"},
            "objective": {"maximize": "throughput", "on": "server"},
            "targets": {"server": {"batch": 64}, "edge": {"batch": 1}},
        }
    )

    assert target_named(recipe, "").batch == 64
    assert target_named(recipe, "edge").batch == 1
    with pytest.raises(UsageError, match="did you mean 'server'"):
        target_named(recipe, "serve")
