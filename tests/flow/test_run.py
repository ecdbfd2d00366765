"""The whole way, for real, on a recipe of seconds."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted, MissingRuntime, PlanError, ResumeError
from condensa_core.progress import Advanced, Note, TrialEnded
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from
from condensa_core.report import Outcome, read_outcome, verdict
from condensa_core.run_directory import file_sha256
from condensa_core.search import read_journal
from condensa_core.workload import load_splits


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(recipe, folder, cache, **kwargs) -> Outcome:
    return flow.run(recipe_from(recipe), out=folder, cache_dir=cache, **kwargs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """One finished run with every kind of artifact: (outcome, run directory, events)."""
    events = []
    out = tmp_path_factory.mktemp("runs")
    gates = [{"metric": "macs", "at_most": "0.9x"}, {"metric": "top1", "split": "test", "max_drop": "50pp"}]
    outcome = run(tiny(output={"export": ["onnx", "torch"]}, gates=gates), out, cache, listener=events.append)
    (directory,) = (out / "tiny").iterdir()
    return outcome, directory, events


def test_the_outcome_is_smaller_within_the_constraint_and_says_so(finished):
    outcome, _, _ = finished

    assert outcome.status == "ok" and outcome.exit_code == 0
    assert outcome.constraint.met and outcome.constraint.value >= outcome.constraint.limit
    assert outcome.best.macs < outcome.reference.macs
    assert outcome.best.bytes < outcome.reference.bytes
    assert outcome.best.parameters < outcome.reference.parameters
    assert outcome.best.ratio.value == pytest.approx(outcome.reference.objective / outcome.best.objective)
    assert {"val", "test"} == set(outcome.best.metrics) == set(outcome.reference.metrics)
    assert {"val", "test"} == set(outcome.best.agreement)
    assert outcome.direct.metrics["val"]["top1"].value is not None
    assert 1 <= outcome.trainings_used <= 4 and len(outcome.trials) == outcome.trainings_used
    assert all(gate.met for gate in outcome.gates)
    removed = {change.name: (change.before, change.after) for change in outcome.best.layers}
    assert any(after < before for before, after in removed.values())


def test_the_run_directory_holds_what_the_design_promises(finished):
    outcome, directory, _ = finished
    names = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}

    assert names >= {
        "recipe.yaml", "resolved.yaml", "plan.json", "manifest.json", "trials.jsonl", "result.json", "junit.xml",
        "run.log", "best/model.onnx", "best/model.pt2", "best/weights.safetensors", "reference/model.onnx",
    }  # fmt: skip
    assert not [name for name in names if ".partial" in name]
    assert not [name for name in names if "lc-" in name]  # many times the size of everything else
    published(directory / "result.json")
    assert read_outcome(directory / "result.json") == Outcome.from_json(outcome.to_json())
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["versions"]["torch"] == torch.__version__ and manifest["seed"] == 3
    for artifact in outcome.artifacts:
        path = directory / artifact.path
        assert path.stat().st_size == artifact.bytes and file_sha256(path) == artifact.sha256


def test_the_shipped_file_scores_on_test_what_the_outcome_says(finished):
    outcome, directory, _ = finished
    splits = load_splits(recipe_from(tiny()).data, seed=Seed(3), directory=directory)
    session = onnxruntime.InferenceSession(directory / "best" / "model.onnx", providers=["CPUExecutionProvider"])

    right = total = 0
    for inputs, targets in splits.test:
        (logits,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
        right += int((logits.argmax(1) == targets.numpy()).sum())
        total += len(targets)

    figure = outcome.best.metrics["test"]["top1"]
    assert (figure.value, figure.count) == (pytest.approx(right / total), total)


def test_stored_pixels_prepared_as_the_outcome_says_are_what_the_model_was_judged_on(finished):
    outcome, directory, _ = finished
    splits = load_splits(recipe_from(tiny()).data, seed=Seed(3), directory=directory)
    session = onnxruntime.InferenceSession(directory / "best" / "model.onnx", providers=["CPUExecutionProvider"])

    (wanted,) = read_outcome(directory / "result.json").inputs
    mean, deviation = (np.asarray(figures)[:, None, None] for figures in (wanted.mean, wanted.deviation))
    prepared = (splits.test.inputs.numpy() - mean) / deviation

    judged = torch.cat([inputs for inputs, _ in splits.test]).numpy()
    np.testing.assert_allclose(prepared, judged, atol=1e-5)  # float32 against float64
    assert wanted.name == session.get_inputs()[0].name
    assert (wanted.shape, wanted.dtype, wanted.pixels) == ((1, 8, 8), "float32", (0.0, 1.0))
    assert f"input      '{wanted.name}', 1 x 8 x 8: (pixel - " in verdict(outcome)


def test_pruned_channels_are_gone_from_the_file(finished):
    outcome, directory, _ = finished
    model = onnx.load(directory / "best" / "model.onnx")
    stored = sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)

    assert stored == outcome.best.parameters


def test_the_torch_program_loads_without_condensa(finished):
    _, directory, _ = finished
    code = (
        "import sys, torch; p = torch.export.load(sys.argv[1]).module(); "
        "print(tuple(p(torch.zeros(3, 1, 8, 8)).shape), 'condensa_core' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, directory / "best" / "model.pt2"],
        capture_output=True, text=True, cwd="/", check=True,
    )  # fmt: skip

    assert shown.stdout.split("\n")[0] == "(3, 10) False"


def test_trials_are_journalled_and_told(finished):
    outcome, directory, events = finished
    _, entries = read_journal(directory / "trials.jsonl")
    kinds = [entry.kind for entry in entries]

    assert kinds[0] == "profile"
    assert kinds[1:] == ["trial-started", "trial-ended"] * len(outcome.trials)
    assert [e.number for e in events if isinstance(e, TrialEnded)] == [t.number for t in outcome.trials]
    assert any(isinstance(e, Note) and str(directory) in e.message for e in events)


def test_every_l_step_is_on_record(finished):
    _, directory, _ = finished
    _, entries = read_journal(directory / "trials.jsonl")

    for trial in (entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"):
        history = trial["details"]["lc"]["history"]
        assert [step["step"] for step in history] == list(range(1 + trial["details"]["lc"]["steps"]))
        assert history[0]["loss"] is None and all(step["loss"] > 0 for step in history[1:])
        assert history[-1]["distance"] == trial["details"]["lc"]["distance"]


def test_resuming_a_finished_run_gives_its_result_again(finished):
    outcome, directory, _ = finished

    assert flow.resume(directory) == Outcome.from_json(outcome.to_json())


def test_an_interrupted_run_resumes_to_the_trials_of_an_uninterrupted_one(finished, tmp_path, cache):
    whole, _, _ = finished

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn" and event.done == 2:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        run(tiny(), tmp_path, cache, listener=stop)
    (directory,) = (tmp_path / "tiny").iterdir()
    resumed = flow.resume(directory, cache_dir=cache)

    def trials(outcome):
        return [(t.number, dict(t.knobs), t.metric, t.objective) for t in outcome.trials]

    assert trials(resumed) == trials(whole)
    assert resumed.best.trial == whole.best.trial and resumed.best.metrics == whole.best.metrics


def test_a_run_of_another_seed_is_not_continued(tmp_path, cache):
    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn":
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        run(tiny(), tmp_path, cache, listener=stop)
    (directory,) = (tmp_path / "tiny").iterdir()
    resolved = directory / "resolved.yaml"
    resolved.write_text(resolved.read_text().replace("seed: 3", "seed: 4"))

    with pytest.raises(ResumeError, match=r"the recipe in .* has changed: its hash was"):
        flow.resume(directory, cache_dir=cache)


def test_an_impossible_constraint_is_infeasible_and_keeps_the_best_effort(tmp_path, cache):
    recipe = tiny(constraint={"metric": "top1", "at_least": 0.9999}, search={"trials": 1})

    outcome = run(recipe, tmp_path, cache)

    assert outcome.status == "infeasible" and outcome.exit_code == 1
    assert "no trial holds the bound" in outcome.reasons[0]
    assert outcome.best is not None and not outcome.constraint.met
    assert (tmp_path / "tiny").glob("*/best/model.onnx")


def test_a_recipe_that_fixes_everything_is_one_trial(tmp_path, cache):
    layers = [{"match": "all", "scheme": [{"prune": {"sparsity": 0.8}}, {"quantize": {"dtype": "float16"}}]}]
    recipe = tiny(
        layers=layers, knobs=None, objective={"minimize": "size.onnx"}, search={"method": "none"},
        constraint={"metric": "top1", "max_drop": "30pp"},
    )  # fmt: skip

    outcome = run(recipe, tmp_path, cache)

    assert outcome.trainings_used == 1 and outcome.status == "ok"
    assert outcome.best.bytes < 0.8 * outcome.reference.bytes  # half-precision storage, small file overheads
    assert outcome.sizes.theoretical_bits < 16 * outcome.reference.parameters
    assert outcome.sizes.ratio_paper > 4
    assert any("prune: speed: none" in note for note in outcome.notes)
    file = next((tmp_path / "tiny").glob("*/best/model.onnx"))
    halves = [t for t in onnx.load(file).graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    zeros = sum(int((onnx.numpy_helper.to_array(t) == 0).sum()) for t in halves)
    assert zeros / sum(int(np.prod(t.dims)) for t in halves) == pytest.approx(0.8, abs=0.01)


def test_direct_compression_trains_nothing(tmp_path, cache):
    loose = {"metric": "top1", "max_drop": "90pp"}
    recipe = tiny(compress={"method": "direct"}, search={"trials": 2}, constraint=loose)

    outcome = run(recipe, tmp_path, cache)

    assert outcome.best.metrics["val"]["top1"].value == outcome.direct.metrics["val"]["top1"].value


def test_throughput_is_measured_with_an_interval(tmp_path, cache):
    recipe = tiny(objective={"maximize": "throughput"}, search={"trials": 1})

    outcome = run(recipe, tmp_path, cache)

    if outcome.best is None:  # a network this small may not get faster: then the run must say so
        assert "better throughput than the reference" in outcome.reasons[0]
        return
    assert outcome.best.ratio.low <= outcome.best.ratio.value <= outcome.best.ratio.high
    assert outcome.objective.unit == "1/s" and "onnxruntime" in outcome.objective.target
    assert outcome.best.measurement["rounds"] >= 3


def test_another_runtime_measures_what_names_it(tmp_path, cache):
    targets = {"eager": {"backend": "torch", "batch": 4}}
    knobs = {"s": {"range": [0.0, 0.8], "step": 0.4}}
    recipe = tiny(objective={"minimize": "latency"}, targets=targets, search={"trials": 1}, knobs=knobs)

    outcome = run(recipe, tmp_path, cache)

    assert "eager (torch cpu, batch 4, 1 thread)" in outcome.objective.target
    if outcome.best is not None:  # a network this small may not get faster
        assert outcome.best.measurement["runtime"].startswith("torch ")


def test_a_runtime_that_is_not_installed_stops_before_training(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("condensa_core.bench.runner.find_spec", lambda name: None)
    recipe = tiny(objective={"minimize": "latency"}, targets={"vino": {"backend": "openvino"}})

    with pytest.raises(
        MissingRuntime, match=r"runtime openvino needs openvino.*pip install '\.\[openvino\]' from a checkout"
    ):
        run(recipe, tmp_path, cache)


def test_a_rule_that_matches_nothing_stops_before_training(tmp_path, cache):
    recipe = tiny(layers=[{"match": "layer9.**", "scheme": {"filter": {"sparsity": "$s"}}}])
    events = []

    with pytest.raises(PlanError, match=r"no layer matches 'layer9\.\*\*'"):
        run(recipe, tmp_path, cache, listener=events.append)

    assert not any(isinstance(e, Advanced) for e in events)


def test_filters_in_half_precision_are_stored_in_half_the_bytes(tmp_path, cache):
    # the norms are folded into the convolutions: they have nothing left to store
    layers = [{"match": "all", "scheme": [{"filter": {"sparsity": 0.5}}, {"quantize": {"dtype": "float16"}}]}]
    gates = [{"metric": "latency", "at_most": "1s"}, {"metric": "latency.p50", "at_most": "50x"}]
    recipe = tiny(
        layers=layers, knobs=None, objective={"minimize": "size.onnx"}, search={"method": "none"}, gates=gates,
        constraint={"metric": "top1", "max_drop": "50pp"},
    )  # fmt: skip

    outcome = run(recipe, tmp_path, cache)

    assert outcome.status == "ok"
    file = next((tmp_path / "tiny").glob("*/best/model.onnx"))
    kernels = [t for t in onnx.load(file).graph.initializer if len(t.dims) == 4]
    assert len(kernels) == 2 and all(t.data_type == onnx.TensorProto.FLOAT16 for t in kernels)
    assert [gate.unit for gate in outcome.gates] == ["s", "x"]


def test_nothing_removed_counts_as_a_ratio_of_one(tmp_path, cache):
    recipe = tiny(
        layers=[{"match": "all", "scheme": {"filter": {"sparsity": 0.0}}}], knobs=None,
        search={"method": "none"}, compress={"method": "direct"},
    )  # fmt: skip

    outcome = run(recipe, tmp_path, cache)

    assert outcome.sizes.ratio_paper == 1.0 and outcome.best.ratio.value == 1.0
    assert all(c.before == c.after and c.parameters_before == c.parameters_after for c in outcome.best.layers)
