"""What a recipe says of its search reaches the search."""

import math
from types import SimpleNamespace

import pytest
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import CondensaError, WorkloadError
from condensa_core.flow.searching import Known, level_problem
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml
from condensa_core.search import Knob, ObjectiveProfile, read_journal

KERNELS = """
from pathlib import Path

from gpytorch.kernels import MaternKernel, ScaleKernel


def rough(marks, nu):
    def make(knobs):
        with open(marks, "a") as file:
            print(knobs, file=file)
        return ScaleKernel(MaternKernel(nu=nu, ard_num_dims=knobs))
    return make


def nothing(knobs):
    return knobs


def broken(knobs):
    raise RuntimeError("no such shape")
"""


def written(folder, search):
    """The tiny recipe with this search, read from a file beside the kernels."""
    (folder / "kernels.py").write_text(KERNELS)
    text = resolved_yaml(recipe_from(tiny(search=search, compress={"method": "direct"})))
    return read_recipe_text(text, str(folder / "r.yaml"), folder)


def test_kernel_noise_and_rule_of_a_recipe_are_used(tmp_path):
    marks = tmp_path / "marks"
    kernel = {"python": "kernels.py:rough", "args": {"marks": str(marks), "nu": 1.5}}
    recipe = written(
        tmp_path,
        {
            "method": "straddle", "kernel": kernel, "beta": 1.5, "coordinates": "raw", "noise": "3pp", "trials": 4,
            "return": {"probability": 1.0, "clear_sd": 100},
        },
    )  # fmt: skip

    outcome = flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    _, entries = read_journal(directory / "trials.jsonl")
    trials = [entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"]
    assert [trial["point"]["s"] for trial in trials[:3]] == pytest.approx([0.45, 0.225, 0.675], abs=0.02)
    assert all(trial["sd"] >= 0.03 for trial in trials)  # with the sampling error of 300 digits on top
    assert len(marks.read_text().split()) >= 2  # tried out before the run, then fitted
    assert outcome.status == "infeasible"  # nothing is clear by a hundred standard deviations
    assert published(directory / "result.json")["search"]["method"] == "straddle"


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("kernels.py:nothing", CondensaError, "must be a gpytorch kernel, got int"),
        ("kernels.py:broken", WorkloadError, "RuntimeError: no such shape"),
        ("kernels.py:rogh", WorkloadError, "has no 'rogh'"),
    ],
)
def test_a_kernel_that_is_none_is_refused_before_anything_is_trained(tmp_path, reference, error, message):
    recipe = written(tmp_path, {"method": "ei", "kernel": {"python": reference}, "trials": 2})

    with pytest.raises(error, match=message):
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert not (tmp_path / "runs").exists()


def test_no_python_means_no_kernel_either(tmp_path):
    recipe = written(tmp_path, {"method": "ei", "kernel": {"python": "kernels.py:nothing"}})

    with pytest.raises(WorkloadError, match="refused by --no-python"):
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache", allow_python=False)


@pytest.mark.parametrize(("noise", "sd"), [({"noise": "3pp"}, math.hypot(0.01, 0.03)), ({}, 0.002 * 0.9)])
def test_the_noise_of_a_recipe_scales_its_problem(noise, sd):
    bench = SimpleNamespace(recipe=recipe_from(tiny(search=noise)))
    metric = SimpleNamespace(value=0.9, stderr=0.01, better="higher")
    reference = SimpleNamespace(val=SimpleNamespace(scores={"top1": metric}))

    problem = level_problem(bench, reference, Known(ObjectiveProfile(Knob("s", range=(0.0, 0.9)), (), 1.0)))

    assert problem.default_sd == pytest.approx(sd)
    assert problem.drop >= 2 * problem.default_sd
