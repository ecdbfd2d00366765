"""What would be wrong without a word, planted: it must be noticed."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from own_recipe import own_recipe
from torch import nn

from condensa_core import flow
from condensa_core.bench import Ratio
from condensa_core.errors import Interrupted, ParityError
from condensa_core.export import read_onnx, save_pt2
from condensa_core.flow import concluding
from condensa_core.flow import trial as trial_module
from condensa_core.flow.objective import Gain
from condensa_core.flow.shipped_alike import require_alike
from condensa_core.flow.workbench import bound
from condensa_core.progress import Advanced, Note, TrialEnded
from condensa_core.search import read_journal


def run(folder, **changes):
    """(outcome, run directory, events) of the own recipe in `folder`."""
    events = []
    folder.mkdir(exist_ok=True)
    recipe = own_recipe(folder, **changes)
    outcome = flow.run(recipe, out=folder / "runs", cache_dir=folder / "cache", listener=events.append)
    (directory,) = (folder / "runs" / "tiny").iterdir()
    return outcome, directory, events


def spoiled(path):
    """The file's last bias moved by 5 in favour of class 0, as a broken exporter might; class 0 is then the answer."""
    model = onnx.load(path)
    bias = next(t for t in model.graph.initializer if list(t.dims) == [3])
    changed = numpy_helper.to_array(bias) + np.array([50, 0, 0], dtype=np.float32)
    bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
    onnx.save(model, path)


@pytest.fixture
def spoiling(monkeypatch):
    """Every candidate's file computes something else than its module."""
    carry = trial_module.carry

    def wrong(*args, **kwargs):
        carried = carry(*args, **kwargs)
        spoiled(carried.shipped.path)
        file = read_onnx(carried.shipped.path)
        return dataclasses.replace(carried, plain=file, shipped=file)

    monkeypatch.setattr(trial_module, "carry", wrong)


def test_a_file_that_computes_something_else_fails_its_trial(tmp_path, spoiling):
    outcome, _, events = run(tmp_path)

    assert outcome.status == "failed" and outcome.best is None
    (ended,) = [event for event in events if isinstance(event, TrialEnded)]
    assert ended.status == "failed" and "model.onnx" in ended.values["failure"]


def test_the_bound_is_judged_on_the_file_whatever_the_module_says(tmp_path, spoiling, monkeypatch):
    # the guard of the test above taken away: what is judged must still be the file
    monkeypatch.setattr(trial_module, "check_parity", lambda path, *_: Said())
    monkeypatch.setattr("condensa_core.flow.concluding.check_parity", lambda *_: None)

    outcome, directory, _ = run(tmp_path)

    _, entries = read_journal(directory / "trials.jsonl")
    (record,) = [e.payload["observation"] for e in entries if e.kind == "trial-ended"]
    targets = np.load(tmp_path / "val.npz")["targets"]
    zeros = float((targets == 0).mean())  # what a model gets that always answers 0
    assert record["metric"] == outcome.constraint.value == pytest.approx(zeros)
    assert record["details"]["learned_val"]["value"] != pytest.approx(zeros)  # of the module


@dataclasses.dataclass
class Said:
    ok: bool = True


def test_a_file_that_scores_otherwise_than_its_trial_is_judged_by_what_it_scores_now(tmp_path, monkeypatch):
    real = concluding._evaluated

    def elsewhere(bench, file, split):
        judged = real(bench, file, split)
        if "best" not in file.parts or split != "val":
            return judged
        score = dataclasses.replace(judged.scores["top1"], value=0.03125)
        return dataclasses.replace(judged, scores={**judged.scores, "top1": score})

    monkeypatch.setattr(concluding, "_evaluated", elsewhere)

    outcome, _, _ = run(tmp_path, constraint={"metric": "top1", "at_least": 0.05})

    assert outcome.constraint.value == 0.03125 and not outcome.constraint.met and outcome.status == "infeasible"
    assert any("0.03125 on val now" in note for note in outcome.notes)
    assert any("breaks the bound" in reason for reason in outcome.reasons)


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def deterministic():
    """Sections of the recipe: two trials, calibration data from test, a metric by which later L-C steps are better."""
    data = {part: {"python": "own.py:data", "args": {"part": part}} for part in ("train", "val", "test")}
    data["calib"] = {**data["test"], "limit": 8}
    return {"search": {"trials": 2}, "data": data, "constraint": {"metric": "loss", "at_most": 50}}


@pytest.fixture(scope="module")
def twice(tmp_path_factory, one_thread):
    """The same recipe run twice with one thread."""
    return [run(tmp_path_factory.mktemp("runs"), **deterministic()) for _ in range(2)]


def test_the_same_seed_gives_the_same_journal_weights_and_files(twice):
    one, two = (directory for _, directory, _ in twice)

    assert timeless(one) == timeless(two)
    files = weights_and_files(one)
    assert files == weights_and_files(two) and {"best/model.onnx", "trials/000/weights.safetensors"} <= set(files)
    for file in ("plan.json", "resolved.yaml"):
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_a_run_that_is_resumed_at_each_of_its_steps_ends_with_the_same_weights(twice, tmp_path):
    whole = twice[0][1]
    recipe, cache = own_recipe(tmp_path, **deterministic()), tmp_path / "cache"
    taken = []

    with pytest.raises(Interrupted):
        flow.run(recipe, out=tmp_path / "runs", cache_dir=cache, listener=stopping_after(1, taken))
    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    for step in range(2, recipe.compress.steps + 1):
        with pytest.raises(Interrupted):
            flow.resume(directory, cache_dir=cache, listener=stopping_after(step, taken))
    flow.resume(directory, cache_dir=cache)

    assert taken == [0, 1, 1, 2, 2, 3]  # each begins where the one before stopped
    _, entries = read_journal(directory / "trials.jsonl")
    assert entries[-1].payload["observation"]["details"]["lc"]["best_step"] == 3  # what ships is of the last step
    assert weights_and_files(directory) == weights_and_files(whole)
    assert timeless(directory)[-1] == timeless(whole)[-1]  # all that is told of the trial


def weights_and_files(directory):
    """What is in every file of weights and every model of a run, by name."""
    files = [path for path in directory.rglob("*") if path.suffix in (".onnx", ".safetensors")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def stopping_after(step, taken):
    """A listener that stops the run once L-C step `step` of a trial is done; `taken` are the steps that it saw."""

    def listener(event):
        if isinstance(event, Advanced) and event.phase == "learn":
            taken.append(event.done)
            if event.done == step:
                raise Interrupted("stop")

    return listener


def timeless(directory):
    """The journal without what clocks say."""

    def strip(value):
        if isinstance(value, dict):
            times = ("wall_s", "waited_s", "seconds", "processor_s")
            return {k: strip(v) for k, v in value.items() if k not in times and not k.endswith("_s")}
        return [strip(v) for v in value] if isinstance(value, (list, tuple)) else value

    fingerprint, entries = read_journal(directory / "trials.jsonl")
    return [fingerprint, *(json.dumps([e.kind, strip(dict(e.payload))], sort_keys=True) for e in entries)]


def test_samples_in_two_splits_are_told_before_the_run_and_in_its_result(twice):
    outcome, directory, events = twice[0]

    told = [event.message for event in events if isinstance(event, Note) and event.level == "warning"]
    text = "8 of 32 samples of test are also in calib"
    assert sum(text in message for message in told) == 1
    assert any(text in note for note in outcome.notes)
    assert text in (directory / "run.log").read_text()


def test_the_manifest_says_by_what_the_data_is_known(twice):
    _, directory, _ = twice[0]

    known = json.loads((directory / "manifest.json").read_text())["data"]

    assert known == {
        "train": "all 64 samples",
        "val": "all 32 samples",
        "test": "all 32 samples",
        "calib": "all 8 samples",
    }


RESTLESS = """
whole = data


class Shaken(list):
    def __iter__(self):
        return ((inputs + np.random.default_rng().random(), targets) for inputs, targets in super().__iter__())


def data(part):
    return Shaken([whole(part)]) if part == "train" else whole(part)
"""


def test_data_that_is_never_the_same_is_told_and_is_no_other_data(tmp_path):
    recipe, told = own_recipe(tmp_path), []
    with (tmp_path / "own.py").open("a") as code:
        code.write(RESTLESS)

    one, two = (bound(recipe, listener=told.append).splits for _ in range(2))

    assert one.fingerprint == two.fingerprint
    warnings = [event.message for event in told if isinstance(event, Note) and event.level == "warning"]
    assert len(warnings) == 2 and warnings[0].startswith("data.train gives other samples each time it is read")


def gemm(path, weights):
    """An ONNX file of one product of `weights` (4 x 3)."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def test_a_packed_file_or_a_program_of_another_model_does_not_ship(tmp_path):
    layer, other = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
    inputs = torch.randn(8, 4)
    names = ("model.onnx", "model.packed.onnx", "model.pt2")
    for name in names[:2]:
        gemm(tmp_path / name, layer.weight.detach().T.numpy().copy())
    save_pt2(layer, (inputs[:2],), tmp_path / "model.pt2")
    require_alike(tmp_path, names, layer, inputs, integers=False)

    with pytest.raises(ParityError, match=r"model\.pt2"):
        require_alike(tmp_path, names, other, inputs, integers=False)
    gemm(tmp_path / "model.packed.onnx", other.weight.detach().T.numpy().copy())
    with pytest.raises(ParityError, match=r"model\.packed\.onnx"):
        require_alike(tmp_path, names, layer, inputs, integers=True)


@pytest.mark.parametrize(
    ("low", "high", "certain", "words"),
    [
        (0.98, 1.04, True, "the interval contains 1"),
        (1.0, 1.3, True, "the interval contains 1"),
        (1.01, 1.3, True, "two sessions of one file may differ by 2%"),
        (1.5, 2.0, False, "too few rounds"),
        (1.03, 1.3, True, ""),
        (0.8, 0.9, True, ""),  # a loss, and no doubt about it
    ],
)
def test_a_measured_gain_inside_its_own_noise_is_noted(monkeypatch, low, high, certain, words):
    monkeypatch.setattr(concluding, "scheme_notes", lambda *_: [])
    recipe = SimpleNamespace(left_out_texts=(), compress=SimpleNamespace(metric=None))
    bench = SimpleNamespace(recipe=recipe, overlaps=(), restless=(), plan=None)
    gain = Gain(2.0, Ratio(1.02, low, high, certain))
    best = SimpleNamespace(point={}, details={})

    notes = concluding._notes(bench, SimpleNamespace(measured=True), gain, best, [])

    assert len(notes) == bool(words) and words in "".join(notes)
    assert concluding._notes(bench, SimpleNamespace(measured=False), gain, best, []) == []
