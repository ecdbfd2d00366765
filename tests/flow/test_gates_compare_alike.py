"""Gates compare like with like: what they read of reference and candidate differs in the model alone."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from comparisons import made
from onnx import TensorProto, helper, numpy_helper
from tiny_recipe import tiny
from torch import nn

from condensa_core import flow
from condensa_core.bench import BenchTarget, Bounds, judge_speed, open_runner
from condensa_core.bench.onnxruntime_runner import OnnxRuntimeRunner
from condensa_core.errors import UsageError, WorkloadError
from condensa_core.flow import gating
from condensa_core.flow.gating import BEST, FLOAT, Timer, judged_gates
from condensa_core.flow.noise import distance_stderr
from condensa_core.flow.objective import REFERENCE, Objective
from condensa_core.flow.timing import timed_file, write_program
from condensa_core.progress import Note
from condensa_core.recipe import recipe_from
from condensa_core.report import Outcome, verdict
from condensa_core.workload.evaluation import Evaluation
from condensa_core.workload.metrics import Score

TARGETS = {
    "one": {"backend": "onnxruntime", "batch": 2},
    "two": {"backend": "onnxruntime", "batch": 4, "threads": 2},
    "eager": {"backend": "torch", "batch": 3},
}


def gate(metric, **bound):
    return {"metric": metric, **bound}


def recipe_with(*gates):
    return recipe_from(tiny(targets=TARGETS, objective={"minimize": "latency", "on": "one"}, gates=list(gates)))


@pytest.fixture
def sessions(monkeypatch):
    """Every session that is timed: (target, SHA-256 of its file, digests of what it was fed by shape)."""
    opened, real = [], open_runner

    def noted(target, path, feeds, *rest):
        fed = [(array.shape, hashlib.sha256(array.tobytes()).hexdigest()) for array in feeds.values()]
        opened.append((target, hashlib.sha256(path.read_bytes()).hexdigest(), fed))
        return real(target, path, feeds, *rest)

    monkeypatch.setattr(sys.modules["condensa_core.bench.compare"], "open_runner", noted)  # its name is a function's
    monkeypatch.setattr(gating, "SECONDS", 0.0)
    monkeypatch.setattr(gating, "ROUNDS", 3)
    return opened


def gemm(path, weights, batch="batch"):
    """An ONNX file of one product with `weights` (i x o)."""
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, w])
        for n, w in zip("xy", weights.shape, strict=True)
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Reference, best and the best in floating point, each of its own bytes and size, with programs beside."""
    weights = {REFERENCE: np.eye(8), BEST: 2 * np.eye(8)[:, :6], FLOAT: 3 * np.eye(8)[:, :7]}
    found = {name: gemm(tmp_path_factory.mktemp(name) / "model.onnx", matrix) for name, matrix in weights.items()}
    for name, path in found.items():
        if name == FLOAT:
            continue
        module = nn.Linear(8, weights[name].shape[1], bias=False)
        write_program(module, (torch.zeros(2, 8),), path)
    return found


def judge(recipe, files, *, timer=None, judged=None):
    """The gates of the recipe on these files; `counted` of the reference is that of a module with 64 weights."""
    bench = SimpleNamespace(recipe=recipe, metrics={"top1": None, "loss": None}, example=(torch.zeros(2, 8),))
    packed = files[BEST].with_name("packed")
    packed.write_bytes(b"123")
    objective = Objective.of(recipe)
    timer = timer or Timer(bench, objective, files, files[BEST], packed, nn.Identity(), lambda _: None)
    size = files[REFERENCE].stat().st_size
    reference = SimpleNamespace(model=nn.Linear(8, 8, bias=False), sizes={"size.onnx": size, "size.packed": size})
    shipped = nn.Linear(8, 6, bias=False)
    return judged_gates(bench, judged or ({}, {}), timer, shipped, reference, None, None)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("one", BenchTarget("onnxruntime", "cpu", 2, 1)),
        ("two", BenchTarget("onnxruntime", "cpu", 4, 2)),
        ("eager", BenchTarget("torch", "cpu", 3, 1)),
    ],
)
@pytest.mark.parametrize("metric", ["throughput", "latency.p90"])
def test_both_sides_of_a_gate_on_speed_run_alike(sessions, files, name, target, metric):
    bound = {"at_least": "0.01x"} if metric == "throughput" else {"at_most": "99x"}

    judge(recipe_with(gate(metric, on=name, **bound)), files)

    timed = {file: seen for *seen, file in ((t, tuple(map(str, fed)), sha) for t, sha, fed in sessions)}
    base, best = (timed[sha256(timed_file(files[which], target))] for which in (REFERENCE, BEST))
    assert base == best  # target, and inputs to the bit
    assert base[0] == target and f"({target.batch}, 8)" in base[1][0]


def test_sessions_of_onnx_runtime_are_opened_with_the_same_options(files, monkeypatch):
    import onnxruntime

    seen, real = [], onnxruntime.InferenceSession
    facts = ("graph_optimization_level", "intra_op_num_threads", "inter_op_num_threads", "execution_mode")

    def noted(path, options, providers):
        seen.append([*(str(getattr(options, fact)) for fact in facts), *providers])
        return real(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    feeds = {"x": np.zeros((4, 8), np.float32)}
    for path in files.values():
        with OnnxRuntimeRunner(path, BenchTarget(batch=4, threads=2), feeds):
            pass

    assert len(seen) == 3 and seen[0] == seen[1] == seen[2]


def told(figures):
    """A timer whose comparisons have these seconds of each file by the batch of the target."""
    timer = Timer.__new__(Timer)
    timer._sizes = {}
    timer.comparison = lambda target: made({k: [v] * 6 for k, v in figures[target.batch].items()})
    return timer


def test_each_gate_reads_its_own_target(files):
    figures = {2: {REFERENCE: 2.0, BEST: 1.0}, 4: {REFERENCE: 9.0, BEST: 3.0}, 3: {REFERENCE: 1.0, BEST: 4.0}}
    gates = [gate("throughput", on=name, at_least="2.9x") for name in TARGETS]

    results = judge(recipe_with(*gates), files, timer=told(figures))

    assert [(r.value, r.met) for r in results] == [(2.0, False), (3.0, True), (0.25, False)]


@pytest.mark.parametrize(
    ("bound", "seconds", "met", "near"),
    [
        ({"at_least": "1.9x"}, 1.0, True, False),
        ({"at_least": "1.97x"}, 1.0, False, True),  # a second session of the same file may be 2 % slower
        ({"at_least": "2.1x"}, 1.0, False, False),
    ],
)
def test_a_gate_says_of_speed_what_bench_says(files, bound, seconds, met, near):
    figures = {2: {REFERENCE: 2.0, BEST: seconds}}

    (rate,) = judge(recipe_with(gate("throughput", on="one", **bound)), files, timer=told(figures))

    factor = float(bound["at_least"][:-1])
    (time,) = judge(recipe_with(gate("latency", on="one", at_most=f"{1 / factor}x")), files, timer=told(figures))
    (by_bench,) = verdicts_of_bench(figures[2], factor)
    assert (rate.met, time.met, by_bench) == (met, met, met)
    assert (rate.within_noise, time.within_noise) == (near, near)
    assert (rate.low, rate.high) == (2.0, 2.0)


def verdicts_of_bench(figures, factor):
    found = made({name: [seconds] * 6 for name, seconds in figures.items()})
    return [verdict.passed for verdict in judge_speed(found, BEST, REFERENCE, Bounds(min_speedup=factor))]


def test_times_by_other_clocks_runtimes_or_rounds_are_no_comparison():
    found = made({"a": [1.0] * 6, "b": [2.0] * 6})
    for change in ({"runtime": "openvino 1"}, {"clock": "wall"}, {"rounds": 5}, {"round_s": (1.0,) * 5}):
        other = dataclasses.replace(found.measurements["b"], **change)
        with pytest.raises(AssertionError, match="cannot be compared"):
            dataclasses.replace(found, measurements={**found.measurements, "b": other})


def test_a_runtime_that_runs_one_side_otherwise_is_told(files, monkeypatch):
    found = made({REFERENCE: [1.0] * 6, BEST: [1.0] * 6})
    half = dataclasses.replace(found.measurements[BEST], provider="CPU, floats in float16")
    mixed = dataclasses.replace(found, measurements={**found.measurements, BEST: half})
    monkeypatch.setattr(gating, "time_in_turns", lambda *args, **kwargs: mixed)
    events, recipe = [], recipe_with()
    timer = Timer(None, Objective.of(recipe), files, files[BEST], files[BEST], nn.Identity(), events.append)

    timer.comparison(BenchTarget())

    (note,) = events
    assert isinstance(note, Note) and note.level == "warning"
    assert "reference by CPUExecutionProvider, best by CPU, floats in float16" in note.message


def test_sizes_are_those_of_what_ships_and_of_the_plain_reference(files):
    size, base = (files[name].stat().st_size for name in (BEST, REFERENCE))
    recipe = recipe_with(
        gate("size.onnx", at_most="10MB"), gate("size.onnx", at_most="0.5x"), gate("size.packed", at_most="1B"),
        gate("macs", at_most="0.75x"), gate("params", at_most="47"),
    )  # fmt: skip

    onnx_file, relative, packed, macs, params = judge(recipe, files)

    assert (onnx_file.value, packed.value, packed.met) == (size, 3, False)
    assert (relative.value, relative.limit) == (size, base / 2)
    assert (macs.value, macs.limit, macs.met) == (48, 0.75 * 64, True)  # of a sample
    assert (params.value, params.met) == (48, False)
    assert not any(result.within_noise or result.low for result in (onnx_file, relative, packed, macs, params))


def evaluation(right, n=100):
    """Of n samples of which the first `right` are answered rightly."""
    values = (torch.arange(n) < right).double()
    return Evaluation({"top1": Score.of(values, "higher")}, None, {"top1": values})


def test_accuracies_are_compared_on_one_split_and_its_distance_to_the_limit_has_its_noise(files):
    judged = {"val": evaluation(90), "test": evaluation(80)}, {"val": evaluation(88), "test": evaluation(79)}
    recipe = recipe_with(
        gate("top1", max_drop="1pp"), gate("top1", max_drop="5pp", split="val"), gate("top1", at_least=0.78),
    )  # fmt: skip

    test, val, absolute = judge(recipe, files, judged=judged)

    assert (test.value, test.limit, test.met) == (0.79, pytest.approx(0.79), True)
    assert (val.value, val.limit, val.met) == (0.88, pytest.approx(0.85), True)
    # of a difference: two answers of 100 changed, or one, and 1/n at least; by itself: the binomial error
    assert test.high - test.value == pytest.approx(1.96 * 0.01)
    assert val.high - val.value == pytest.approx(1.96 * (0.02 * 0.98 / 100) ** 0.5)
    assert absolute.high - absolute.value == pytest.approx(1.96 * (0.79 * 0.21 / 100) ** 0.5)
    assert (test.within_noise, val.within_noise, absolute.within_noise) == (True, False, True)
    text = verdict(Outcome(status="ok", name="x", gates=(val, test)))
    assert "top1 max_drop 1pp (test): 79.00 % [77.04 %, 80.96 %], met, within noise" in text
    assert "88.00 % [85.26 %, 90.74 %], met\n" in text


def test_evaluations_of_other_samples_and_splits_that_are_not_there_are_not_compared(files):
    recipe = recipe_with(gate("top1", at_least=0.1, split="test"))
    with pytest.raises(WorkloadError, match="the same samples"):
        judge(recipe, files, judged=({"test": evaluation(90)}, {"test": evaluation(45, 50)}))
    with pytest.raises(WorkloadError, match="the same samples"):
        distance_stderr(recipe.constraint, evaluation(90), evaluation(45, 50))

    (missing,) = judge(recipe, files, judged=({"val": evaluation(90)}, {"val": evaluation(88)}))

    assert missing.met is False and "no 'test' part" in missing.reason


def test_bench_holds_no_bound_on_speed_between_files_of_other_inputs(tmp_path):
    large, small = gemm(tmp_path / "large.onnx", np.eye(32)), gemm(tmp_path / "small.onnx", np.eye(8))
    fixed = gemm(tmp_path / "fixed.onnx", np.eye(32), batch=4)
    for bounds in (Bounds(min_speedup=1.5), Bounds(max_slowdown=0.5)):
        with pytest.raises(UsageError, match=r"small\.onnx takes x as 1 x 8, large\.onnx takes 1 x 32"):
            flow.bench([small], compare=large, bounds=bounds, seconds=0.02, rounds=3, memory=False)
        with pytest.raises(UsageError, match="fixes"):
            flow.bench([fixed], compare=large, batches=[8], bounds=bounds, seconds=0.02, rounds=3, memory=False)

    found = flow.bench([small], compare=large, seconds=0.02, rounds=3, memory=False)

    assert found["differences"] if "differences" in found else found["comparisons"][0]["differences"]
