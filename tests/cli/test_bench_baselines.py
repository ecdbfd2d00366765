"""Baselines are held against the same conditions only: inputs, seed, what is loaded; and kept only where all holds."""

from __future__ import annotations

import copy
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core import flow

FAST = ("--seconds", "0.1", "--rounds", "6", "--no-memory", "-q")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """x [batch, time, 8] times a matrix."""
    path = tmp_path_factory.mktemp("baselines") / "m.onnx"
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "time", 8]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def document(model):
    """What bench finds at 16 steps."""
    return json.loads(json.dumps(flow.bench([model], shapes=["time=16"], seconds=0.05, rounds=6, memory=False)))


@pytest.fixture
def saved(document):
    """A copy, to change."""
    return copy.deepcopy(document)


@pytest.fixture
def held(condensa, model, tmp_path):
    def against(document, *arguments, shape=("--shape", "time=16")):
        (tmp_path / "b.json").write_text(json.dumps(document))
        return condensa("bench", model, *shape, "--baseline", "b.json", "--max-slowdown", "900%", *arguments, *FAST)

    return against


def test_other_inputs_than_the_baselines_are_refused_with_the_difference(saved, held, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((1, 16, 8), np.float32))
    np.savez(tmp_path / "b.npz", x=np.zeros((1, 16, 8), np.float32))

    same = held(saved)
    shorter = held(saved, shape=("--shape", "time=2"))
    drawn_otherwise = held(saved, "--seed", "3")
    from_a_file = held(saved, "--inputs", "a.npz", shape=())

    assert same.code == 0
    assert (shorter.code, drawn_otherwise.code, from_a_file.code) == (2, 2, 2)
    assert "the baseline of m.onnx is of other shapes: x was [1, 16, 8], here [1, 2, 8]" in shorter.err
    assert "the baseline is of --seed 0, here it is 3" in drawn_otherwise.err
    assert "the baseline was fed random inputs, here are arrays of --inputs" in from_a_file.err


@pytest.mark.parametrize(
    ("fact", "value"), [("batch", 8), ("threads", 2), ("streams", 2), ("backend", "openvino"), ("device", "cuda")]
)
def test_a_baseline_of_another_target_is_none(saved, held, fact, value):
    saved["comparisons"][0]["target"][fact] = value

    answer = held(saved)

    assert answer.code == 2
    assert "the baseline has no latency with backend onnxruntime, device cpu, batch 1, threads 1" in answer.err


def test_arrays_of_the_users_must_be_the_same(condensa, model, held, tmp_path):
    for name, value in (("a", 1), ("b", 0)):
        np.savez(tmp_path / f"{name}.npz", x=np.full((1, 16, 8), value, np.float32))
    condensa("bench", model, "--inputs", "a.npz", "--save-baseline", "b.json", *FAST)
    document = json.loads((tmp_path / "b.json").read_text())

    assert held(document, "--inputs", "a.npz", "--seed", "3", shape=()).code == 0
    assert "m.onnx was fed other numbers as x" in held(document, "--inputs", "b.npz", shape=()).err


def test_what_is_installed_and_not_loaded_does_not_matter(saved, held):
    saved["machine"]["versions"] |= {"openvino": "1.0", "torch": "0.4"}

    assert held(saved).code == 0

    del saved["machine"]["cpu_kinds"]
    assert "cpu_kinds was not told, here " in held(saved).err


def damaged(document, place, value):
    *way, last = place
    found = document
    for step in way:
        found = found[step]
    if value is None:
        del found[last]
    else:
        found[last] = value
    return document


ROUNDS = ("comparisons", 0, "measurements", "m.onnx", "round_s")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("comparisons",), [None], "comparison 1 of the baseline does not say where"),
        (("comparisons",), {"a": 1}, "comparison 1 of the baseline does not say where"),
        (("comparisons", 0, "target"), None, "comparison 1 of the baseline does not say where"),
        (("comparisons", 0, "measurements"), [], "has no measurements"),
        (ROUNDS, None, "has no times of m.onnx"),
        (ROUNDS, [], "has no times of m.onnx"),
        (ROUNDS, [0.0], "has no times of m.onnx"),
        (ROUNDS, ["a"], "has no times of m.onnx"),
        (("comparisons", 0, "scenario"), None, "the baseline has no latency"),
        (("comparisons", 0, "inputs"), None, "does not say what its files were fed"),
        (("comparisons", 0, "inputs", "arrays", "m.onnx"), None, "m.onnx had other inputs in the baseline"),
        (("comparisons", 0, "inputs", "arrays", "m.onnx", "x"), "16", "is of other shapes"),
    ],
)
def test_a_damaged_baseline_is_refused_in_a_sentence(saved, held, place, value, words):
    answer = held(damaged(saved, place, value))

    assert answer.code == 2
    assert words in answer.err


def test_what_misses_its_bound_does_not_become_the_baseline(saved, held, tmp_path):
    for measured in saved["comparisons"][0]["measurements"].values():
        measured["round_s"] = [seconds / 1000 for seconds in measured["round_s"]]

    answer = held(saved, "--save-baseline", "b.json")

    assert answer.code == 1
    assert json.loads((tmp_path / "b.json").read_text()) == saved
    assert "b.json is left as it was: a bound does not hold" in answer.err


@pytest.mark.parametrize("option", ["--markdown", "--junit", "--save-baseline"])
@pytest.mark.parametrize(
    ("place", "code", "said"),
    [("/proc/nowhere/m.md", 3, "cannot write /proc/nowhere/m.md"), ("folder", 2, "folder is a folder")],
)
def test_files_that_cannot_be_written_are_refused_before_measuring(
    condensa, model, tmp_path, option, place, code, said
):
    (tmp_path / "folder").mkdir()

    answer = condensa("bench", model, "--shape", "time=2", option, place, *FAST)

    assert answer.code == code
    assert said in answer.err
    assert answer.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
