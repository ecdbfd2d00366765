"""Ranks by latency: what is timed, how costs between timed ranks are found, and that a run keeps what it measured."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.isotonic import IsotonicRegression
from tiny_recipe import tiny
from torch import nn

from condensa_core import flow
from condensa_core.bench import BenchTarget
from condensa_core.errors import Interrupted, PlanError, ResumeError
from condensa_core.flow import rank_timing
from condensa_core.flow.rank_costs import FILE, between, rank_costs
from condensa_core.flow.rank_timing import Call, LayerStand, calls_of, grid
from condensa_core.flow.workbench import bound, trained
from condensa_core.materialise import factored
from condensa_core.progress import Event, Note, PhaseStarted
from condensa_core.randomness import Seed
from condensa_core.recipe import read_recipe, recipe_from
from condensa_core.run_directory import RunDirectory
from condensa_core.schemes import Factors
from condensa_core.schemes.matrix_view import view_of

RULE = {"match": "all", "scheme": {"lowrank": {"select": "latency", "budget": 0.9}}}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_timing, "SECONDS", 0.02)


@given(st.dictionaries(st.integers(1, 40), st.floats(0, 1, width=16), min_size=1))
def test_no_larger_rank_is_cheaper_and_no_nearer_costs_are_so(timed: dict[int, float]) -> None:
    ranks, last = sorted(timed), max(timed)

    costs = between(timed, last)

    nearest = IsotonicRegression().fit_transform(ranks, [timed[rank] for rank in ranks])
    assert [costs[rank - 1] for rank in ranks] == pytest.approx(nearest, abs=1e-12)
    assert len(costs) == last and all(a <= b + 1e-12 for a, b in pairwise(costs))


def test_ranks_between_lie_on_straight_lines() -> None:
    assert between({1: 1.0, 3: 2.0, 5: 4.0}, 5) == (1.0, 1.5, 2.0, 3.0, 4.0)


@given(st.integers(1, 2000))
def test_a_few_ranks_are_timed_with_both_ends(last: int) -> None:
    ranks = grid(last)

    assert (ranks[0], ranks[-1]) == (1, last) and len(set(ranks)) == len(ranks) <= 6


LAYERS = {
    "linear": nn.Linear(12, 20),
    "square": nn.Linear(10, 10),
    "conv": nn.Conv2d(6, 8, 3),
    "grouped": nn.Conv2d(8, 32, 3, groups=2),
    "striding": nn.Conv2d(8, 8, 3, stride=(2, 1)),
    "embedding": nn.Embedding(30, 7),
}


@pytest.mark.parametrize("convolution", ["output", "kernel"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_last_rank_is_the_largest_that_is_ever_shipped(name: str, convolution: Any) -> None:
    layer = LAYERS[name]
    shape = (2, 3) if name == "embedding" else (2, layer.weight.shape[1] * getattr(layer, "groups", 1), 9, 9)
    x = torch.zeros(shape, dtype=torch.int64) if name == "embedding" else torch.rand(shape)
    x = x[..., 0, 0] if isinstance(layer, nn.Linear) else x
    view = view_of(tuple(layer.weight.shape), convolution)

    last = LayerStand(layer, Call(repr(layer), convolution, shape, "float32"), BenchTarget(), Seed()).last_rank()

    def ships(rank: int) -> bool:
        pair = Factors(torch.rand(view.rows, rank), torch.rand(rank, view.columns), view)
        return bool(factored(nn.Sequential(layer, nn.Identity()), {"0.weight": pair}, (x,)).split)

    assert last == max(rank for rank in range(1, min(view.rows, view.columns) + 1) if ships(rank))


class Twice(nn.Module):
    """One layer called with two shapes, another not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(input=x).mean(1)) + self.layer(x[:, 0])


def test_every_call_counts_at_the_batch_of_the_target() -> None:
    model = Twice()

    found = calls_of(
        model, (torch.rand(2, 5, 6),), {n: (model.get_submodule(n), "output") for n in ("layer", "unused")}, batch=3
    )

    assert {call.shape: count for call, count in found["layer"].items()} == {(3, 5, 6): 1, (3, 6): 2}
    assert not found["unused"] and not model.layer._forward_pre_hooks


MODEL = {"builtin": "small-cnn", "args": {"width": 16, "depth": 1, "stages": 2}}
WIDE = {"builtin": "small-cnn", "args": {"width": 48, "depth": 1, "stages": 2}}  # two layers save half, on any machine


def recipe(**changes: Any) -> dict[str, Any]:
    return tiny(**{
        "model": MODEL, "layers": [RULE], "knobs": None, "objective": {"minimize": "latency"},
        "search": {"method": "none"}, "constraint": {"metric": "top1", "at_least": 0.05}, **changes,
    })  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_run_measures_once_and_keeps_within_the_budget(tmp_path: Path, cache: Path) -> None:
    def until_learning(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "learn":
            raise Interrupted("as by Ctrl-C")

    with pytest.raises(Interrupted):
        flow.run(recipe_from(recipe(model=WIDE)), out=tmp_path, cache_dir=cache, listener=until_learning)
    (directory,) = (tmp_path / "tiny").iterdir()
    measured = (directory / FILE).read_bytes()
    heard: list[Event] = []

    outcome = flow.resume(directory, cache_dir=cache, listener=heard.append)

    assert outcome.status == "ok", outcome.reasons
    assert (directory / FILE).read_bytes() == measured
    assert not any(isinstance(event, PhaseStarted) and event.phase == "ranks" for event in heard)
    record = json.loads(measured)
    assert record["target"] == {"backend": "onnxruntime", "device": "cpu", "batch": 32, "threads": 1, "streams": 1}
    shipped = {name: w.shape for name, w in load_file(directory / "best" / "weights.safetensors").items()}
    spent = dense = 0.0
    for weight, calls in record["weights"].items():
        timing = record["timings"][calls[0]["timing"]]
        assert [call["count"] for call in calls] == [1] and timing["shape"][0] == 32
        assert {"value", "low", "high"} == timing["dense_s"].keys() and timing["rounds"] >= 3
        whole = max(0.0, timing["dense_s"]["value"])
        costs = between({int(r): max(0.0, s["value"]) for r, s in timing["ranks"].items()}, timing["last_rank"])
        left = shipped.get(weight.replace(".weight", ".left.weight"))
        dense += whole
        spent += whole if left is None else costs[left[1] - 1]
    assert len(record["weights"]) + len(record["dense"]) == 3
    assert any(".left." in name for name in shipped)
    assert spent <= 0.9 * dense * (1 + 1e-9)


def bench_of(changes: dict[str, Any], cache: Path) -> Any:
    return trained(bound(recipe_from(recipe(**changes))), cache_dir=cache)


def fake_record(bench: Any, costs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A record as of another machine: seconds by rank for every weight of the model."""
    timings = []
    for name, seconds in costs.items():
        ranks = {r: {"value": s, "low": s, "high": s} for r, s in seconds.items() if r != "dense"}
        dense = {"value": seconds["dense"], "low": 0.0, "high": 1.0}
        timings.append({"layer": name, "last_rank": max(map(int, ranks)), "ranks": ranks, "dense_s": dense})
    weights = {name: [{"timing": at, "count": 2}] for at, name in enumerate(costs)}
    return {
        "schema": "condensa.rank-costs/1", "fingerprint": "another", "timings": timings, "weights": weights, "dense": {}
    }  # fmt: skip


WEIGHTS = ("features.0.weight", "features.3.weight", "classifier.weight")


def test_what_the_run_directory_holds_is_read_again(tmp_path: Path, cache: Path) -> None:
    bench = bench_of({}, cache)
    given = {"1": 2e-6, "3": 1e-6, "4": 4e-6, "dense": 5e-6}  # rank 3 was measured faster than rank 1
    with RunDirectory.create(tmp_path, "run", "x") as directory:
        directory.write_json(FILE, fake_record(bench, dict.fromkeys(WEIGHTS, given)))
        heard: list[Event] = []

        costs = rank_costs(bench, directory, heard.append)

        assert costs.keys() == set(WEIGHTS)
        assert costs[WEIGHTS[0]] == pytest.approx((1e-5, 3e-6, 3e-6, 3e-6, 8e-6, 1e-5))  # two calls each
        assert [e.message for e in heard if isinstance(e, Note)] == [
            f"the ranks of {FILE} were timed on another machine and are kept"
        ]
        for damage in (b"{", b'{"schema": "condensa.rank-costs/1"}', b"[]"):
            directory.write_bytes(FILE, damage)
            with pytest.raises(ResumeError, match=r"rank-costs\.json cannot be read"):
                rank_costs(bench, directory, heard.append)
        directory.write_json(FILE, fake_record(bench, {WEIGHTS[0]: given}))
        with pytest.raises(ResumeError, match=r"no costs of classifier\.weight"):
            rank_costs(bench, directory, heard.append)


def test_a_budget_that_no_rank_can_meet_is_told_before_the_first_trial(tmp_path: Path, cache: Path) -> None:
    text = recipe(
        layers=[{"match": "all", "scheme": {"lowrank": {"select": "latency", "budget": "$b"}}}],
        knobs={"b": {"range": [0.3, 0.9]}},
        search={"trials": 2},
    )
    (tmp_path / "recipe.yaml").write_text(json.dumps(text, indent=1))
    bench = trained(bound(read_recipe(tmp_path / "recipe.yaml")), cache_dir=cache)
    slow = {"1": 4e-6, "2": 4.5e-6, "dense": 1e-5}
    with RunDirectory.create(tmp_path, "run", "x") as directory:
        directory.write_json(FILE, fake_record(bench, dict.fromkeys(WEIGHTS, slow)))

        with pytest.raises(PlanError) as refused:
            rank_costs(bench, directory, lambda event: None)

    (problem,) = refused.value.problems
    assert problem.code == "E222" and "budget of 0.3 cannot be met" in problem.message and "0.4" in problem.message
    lines = (tmp_path / "recipe.yaml").read_text().splitlines()
    assert problem.place.file.endswith("recipe.yaml") and '"all"' in lines[problem.place.line - 1]
    assert any("0.4 or more" in line for line in problem.help)


OWN = """
import torch
from torch import nn

class Recurrent(nn.Module):
    def __init__(self, classes=10, input_shape=None):
        super().__init__()
        self.mixing = nn.GRU(8, 12, batch_first=True)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        return self.head(self.mixing(x.squeeze(1))[0][:, -1])
"""


@pytest.mark.parametrize(("match", "code"), [("mixing", "E216"), ("all", "W216")])
def test_layers_that_cannot_be_two_are_told_with_the_plan(match: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    text = recipe(
        model={"python": "own.py:Recurrent"},
        layers=[{"match": match, "scheme": {"lowrank": {"select": "latency", "budget": 0.8}}}],
    )
    (tmp_path / "recipe.yaml").write_text(json.dumps(text, indent=1))
    declared = read_recipe(tmp_path / "recipe.yaml")

    if code == "E216":
        with pytest.raises(PlanError) as refused:
            flow.plan(declared)
        (problem,) = refused.value.problems
    else:
        report = flow.plan(declared)
        (problem,) = report.problems
        assert report.to_json()["rows"][0]["scheme"] == "lowrank latency budget 0.8 of the seconds measured"

    assert problem.code == code and "no two layers stand for GRU" in problem.message
    assert problem.place.line == next(
        n for n, line in enumerate((tmp_path / "recipe.yaml").read_text().splitlines(), 1) if f'"{match}"' in line
    )


MLP = {"builtin": "lenet300"}
BY_LATENCY = {"lowrank": {"select": "latency", "budget": 0.6}}
INT8 = {"quantize": {"dtype": "int8", "granularity": "channel", "activations": "int8"}}


def test_layers_that_another_rule_cuts_have_no_ranks_by_latency() -> None:
    cutting = {"match": "fc1", "scheme": {"neuron": {"sparsity": 0.9}}}

    with pytest.raises(PlanError) as refused:
        flow.plan(recipe_from(recipe(model=MLP, layers=[cutting, {"match": "fc2", "scheme": BY_LATENCY}])))

    (problem,) = refused.value.problems
    assert problem.code == "E216" and problem.key_path == ("layers", 1)
    assert "fc2.weight loses channels" in problem.message and any("select: flops" in line for line in problem.help)
    apart = flow.plan(recipe_from(recipe(model=MLP, layers=[cutting, {"match": "fc3", "scheme": BY_LATENCY}])))
    assert not apart.problems


@pytest.mark.parametrize(("scheme", "codes"), [([BY_LATENCY, INT8], ["W217"]), (BY_LATENCY, [])])
def test_ranks_timed_in_floats_are_told_where_layers_compute_in_integers(scheme: Any, codes: list[str]) -> None:
    report = flow.plan(recipe_from(recipe(model=MLP, layers=[{"match": "fc2", "scheme": scheme}])))

    assert [problem.code for problem in report.problems] == codes
    assert all("float32" in problem.message and problem.key_path == ("layers", 0) for problem in report.problems)
