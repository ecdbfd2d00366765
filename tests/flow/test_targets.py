"""Targets: what is there is told before anything is trained, what may be missing is skipped, and an engine ships."""

import importlib.util
import os
from xml.etree import ElementTree

import pytest
import torch
from published import published
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.bench import RUNTIMES, BenchTarget
from condensa_core.engines import FAMILIES, Batches, Engine
from condensa_core.errors import ExportFailed, Interrupted, MachineError, MissingRuntime, ParityError, UsageError
from condensa_core.export import export_onnx
from condensa_core.flow.gating import Timer
from condensa_core.flow.shipping_engine import EngineYard
from condensa_core.flow.targets import missing_targets, require_targets
from condensa_core.flow.timing import time_in_turns, write_program
from condensa_core.platforms import DEVICES_OF, Gpu
from condensa_core.progress import Note, PhaseStarted
from condensa_core.randomness import Seed
from condensa_core.recipe import recipe_from
from condensa_core.recipe.vocabulary import ENGINE_BACKENDS, PROGRAM_BACKENDS
from condensa_core.report import EngineResult, verdict
from condensa_core.run_directory import RunDirectory, file_sha256

RTX = {"backend": "tensorrt-rtx", "arch": "sm89", "batch": 4}
VINO = {"backend": "openvino", "batch": 2, "if_missing": "skip"}
# Directly, without a search: one training of the reference, and everything that is measured.
SHIPPING = tiny(
    layers=[{"match": "all", "scheme": {"filter": {"sparsity": 0.5}}}],
    knobs=None,
    compress={"method": "direct"},
    constraint={"metric": "top1", "max_drop": "100pp"},
    targets={"eager": {"backend": "torch", "batch": 8}, "vino": VINO, "rtx": RTX},
    objective={"minimize": "latency", "on": "eager"},
    search={"method": "none"},
    output={"export": ["onnx", "torch", "engine"]},
    gates=[
        {"metric": "latency", "on": "eager", "at_most": "1s"},
        {"metric": "latency", "on": "vino", "at_most": "1s"},
        {"metric": "size.engine", "at_most": "100MiB"},
        {"metric": "memory.weights", "at_most": "0.9x"},
    ],
)


def without(package):
    found = importlib.util.find_spec
    return lambda name: None if name == package else found(name)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A run whose engine cannot be built, and the same resumed: (outcome, outcome, run directory, events)."""
    pytest.importorskip("tensorrt_rtx")
    out, cache, events = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache"), []

    def refused(*args, **kwargs):
        raise ExportFailed("TensorRT cannot")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condensa_core.flow.gating.SECONDS", 0.3)  # of timing, whose figures nothing here looks at
        patch.setattr("condensa_core.flow.trial.SECONDS", 0.3)
        patch.setattr("condensa_core.bench.runner.find_spec", without("openvino"))
        with patch.context() as broken:
            broken.setattr("condensa_core.flow.shipping_engine.build_engine", refused)
            first = flow.run(recipe_from(SHIPPING), out=out, cache_dir=cache)
        (directory,) = (out / "tiny").iterdir()
        second = flow.resume(directory, cache_dir=cache, listener=events.append)
    return first, second, directory, events


def test_the_recipe_knows_the_runtimes_that_there_are():
    assert tuple(DEVICES_OF) == tuple(RUNTIMES) and ENGINE_BACKENDS == FAMILIES
    assert tuple(name for name, runtime in RUNTIMES.items() if runtime.takes == "torch-program") == PROGRAM_BACKENDS


def test_an_engine_that_cannot_be_built_loses_nothing_else(shipped):
    first, _, _, _ = shipped

    assert (first.status, first.exit_code) == ("failed", 4)
    assert first.best is not None and first.constraint.met and first.best.measurement["runtime"].startswith("torch ")
    assert first.reasons == (
        "the gate size.engine at_most 100MiB does not hold",
        "the gate memory.weights at_most 0.9x does not hold",
        "no engine: TensorRT cannot; all else is done, and condensa resume builds it again",
    )
    assert [gate.met for gate in first.gates] == [True, None, False, False]
    assert first.gates[2].reason == "TensorRT cannot"
    assert not [file for file in first.artifacts if file.path.endswith(".engine")]
    assert "engine     not built for target 'rtx': TensorRT cannot" in verdict(first)


@pytest.mark.parametrize(("batch", "here", "same"), [(1, 89, True), (4, 89, False), (1, 90, False)])
def test_an_engine_that_was_timed_for_another_batch_or_gpu_is_told_apart(monkeypatch, tmp_path, batch, here, same):
    monkeypatch.setattr("condensa_core.flow.shipping_engine.nvidia_gpus", lambda: (Gpu("made up", here),))
    recipe = recipe_from({**SHIPPING, "targets": {**SHIPPING["targets"], "rtx": {**RTX, "batch": batch}}})
    yard = EngineYard(recipe, tmp_path, lambda event: None)
    built = Engine(
        path=tmp_path / "built", size_bytes=1, sha256="", runtime="tensorrt-rtx 1", capabilities=(89,),
        precision="fp32", batches=Batches(1, batch, batch), weights_bytes=1, activation_bytes=1, scratch_bytes=1,
        layers=1, build_s=1.0, log=(),
    )  # fmt: skip
    monkeypatch.setattr(yard, "build", lambda file: built)
    built.path.write_bytes(b"an engine")

    told = yard.ship(RunDirectory.open(tmp_path), tmp_path / "model.onnx", timed=True).unmeasured

    assert told == (
        ""
        if same
        else f"latency is that of an engine for batch {batch} alone on the GPU here; the one that ships was not run"
    )


def test_a_resumed_run_has_its_engine_with_its_facts(shipped):
    _, outcome, directory, events = shipped
    engine, file = outcome.engine, directory / "best" / "model.engine"

    assert (outcome.status, outcome.reasons) == ("ok", ())
    assert any(isinstance(e, PhaseStarted) and e.phase == "engine" and "sm89" in e.detail for e in events)
    assert (engine.capabilities, engine.batches, engine.precision) == (("sm89",), (1, 4, 4), "fp32")
    assert file.stat().st_size == engine.bytes > engine.weights_bytes > 0 and engine.layers > 0
    (artifact,) = (file for file in outcome.artifacts if file.path == "best/model.engine")
    assert (artifact.bytes, artifact.sha256) == (engine.bytes, file_sha256(file))
    assert engine.unmeasured.startswith("latency not measured: ") and engine.unmeasured in verdict(outcome)
    finished = flow.resume(directory, listener=events.append)
    assert (finished.engine, finished.gates) == (engine, outcome.gates)
    assert events[-1] == Note("this run is finished; its result stands")


def test_bounds_on_the_engine_are_held_against_the_reference_s(shipped):
    size, weights = shipped[1].gates[2:]

    assert (size.value, size.met, size.unit) == (shipped[1].engine.bytes, True, "bytes")
    # half of the channels are gone, so a quarter of most weights is left; TensorRT pads them
    assert weights.met and weights.value == shipped[1].engine.weights_bytes < weights.limit


def test_a_skipped_gate_is_neither_met_nor_failed(shipped):
    _, outcome, directory, _ = shipped
    why = "target 'vino' is missing: runtime openvino needs openvino, which is not installed"

    assert outcome.gates[1].met is None and outcome.gates[1].reason == why
    assert f"gate       latency.p50 at_most 1s (vino): skipped: {why}" in verdict(outcome)
    suite = ElementTree.parse(directory / "junit.xml").getroot()
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases["latency.p50 at_most 1s (vino)"] == ["skipped"]
    assert cases["latency.p50 at_most 1s (eager)"] == [] and suite.get("skipped") == "1"
    kept = published(directory / "result.json")
    assert kept["gates"][1]["reason"] == why and kept["reasons"] == []
    assert kept["skipped"] == [f"the gate latency.p50 at_most 1s (vino): {why}"]
    assert verdict(outcome).startswith("tiny: done: everything judged here holds; 1 gate skipped\n")


@pytest.mark.parametrize(
    ("engine", "met", "reason"),
    [
        (EngineResult("rtx", problem="no TensorRT", skipped=True), None, "no TensorRT"),
        (EngineResult("rtx", problem="TensorRT cannot"), False, "TensorRT cannot"),
        (EngineResult("rtx", path="best/model.engine", bytes=9), False, "the build log does not tell"),
    ],
)
def test_a_bound_on_what_is_not_known_of_the_engine_is_skipped_only_with_the_engine(tmp_path, engine, met, reason):
    yard = EngineYard(recipe_from(SHIPPING), tmp_path, lambda event: None)

    judged = yard.judge(weights_bound(), engine, tmp_path / "reference.onnx")

    assert (judged.met, judged.reason, judged.value) == (met, reason, None)


def test_a_bound_against_a_reference_whose_log_does_not_tell_is_not_met(tmp_path, monkeypatch):
    yard = EngineYard(recipe_from(SHIPPING), tmp_path, lambda event: None)
    monkeypatch.setattr(yard, "build", lambda file: EngineResult("rtx"))

    judged = yard.judge(weights_bound(), EngineResult("rtx", weights_bytes=9), tmp_path / "reference.onnx")

    assert (judged.met, judged.value) == (False, 9) and "of the reference's engine does not tell" in judged.reason


def weights_bound():
    return recipe_from(SHIPPING).gates[3]


def test_the_program_that_was_timed_is_the_one_that_ships(shipped):
    _, outcome, directory, _ = shipped

    program = torch.export.load(directory / "best" / "model.pt2").module()

    assert outcome.best.measurement["file"] == "model.pt2"
    assert file_sha256(directory / "best" / "model.pt2") == file_sha256(directory / "trials" / "000" / "model.pt2")
    stored = sum(tensor.numel() for tensor in program.state_dict().values() if tensor.is_floating_point())
    assert stored == outcome.best.parameters


def test_ctrl_c_stops_an_engine_and_leaves_none(shipped, tmp_path):
    _, _, directory, _ = shipped

    def stop(event):
        raise Interrupted("stopped")

    recipe = recipe_from(SHIPPING | {"targets": SHIPPING["targets"] | {"rtx": RTX | {"arch": "sm86"}}})
    with pytest.raises(Interrupted):
        EngineYard(recipe, tmp_path, stop).build(directory / "best" / "model.onnx")

    assert not list(tmp_path.rglob("*.engine"))


@pytest.mark.parametrize("skip", [False, True])
def test_a_gate_s_target_that_is_missing_is_told_before_training(tmp_path, monkeypatch, skip):
    monkeypatch.setattr("condensa_core.bench.runner.find_spec", without("openvino"))
    vino = {"backend": "openvino", "if_missing": "skip" if skip else "error"}
    gates = [{"metric": "throughput", "on": "vino", "at_least": "1.0x"}]
    recipe, events = recipe_from(tiny(targets={"cpu": {}, "vino": vino}, gates=gates)), []

    if skip:
        require_targets(recipe, events.append)
        (note,) = events
        assert isinstance(note, Note) and note.level == "warning"
        assert note.message.startswith("target 'vino' is missing, what is timed on it is skipped: runtime openvino ")
    else:
        with pytest.raises(MissingRuntime, match=r"target 'vino': runtime openvino needs openvino.*pip install"):
            flow.run(recipe, out=tmp_path, listener=events.append)
        assert not list(tmp_path.iterdir()) and not events
    assert flow.plan(recipe).to_json()["missing"] == [
        {
            "target": "vino",
            "what": "what is timed on it",
            "reason": "runtime openvino needs openvino, which is not installed",
            "skipped": skip,
        }
    ]


@pytest.mark.parametrize(
    ("backend", "threads", "error"), [("openvino", 4, MachineError), ("onnxruntime", 5, UsageError)]
)
def test_threads_that_a_target_does_not_get_are_told_before_training(tmp_path, backend, threads, error):
    pytest.importorskip(backend)
    threads *= os.cpu_count() or 1
    gates = [{"metric": "throughput", "on": "wide", "at_least": "1.0x"}]
    recipe = recipe_from(tiny(targets={"cpu": {}, "wide": {"backend": backend, "threads": threads}}, gates=gates))

    with pytest.raises(error, match=rf"\b{threads}\b") as caught:
        flow.run(recipe, out=tmp_path)

    assert caught.value.place == recipe.place("targets", "wide") and not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_is_missing_and_what_is_only_counted_needs_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    targets = {"gpu": {"backend": "torch", "device": "gpu"}}

    timed = missing_targets(recipe_from(tiny(targets=targets, objective={"maximize": "throughput"})))

    assert [(m.target, m.skipped) for m in timed] == [("gpu", False)] and "finds no CUDA device" in timed[0].reason
    assert missing_targets(recipe_from(tiny(targets=targets))) == ()


def test_an_engine_for_no_gpu_must_be_told_for_which(monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("condensa_core.flow.targets.nvidia_gpus", lambda: ())
    output = {"export": ["onnx", "engine"]}

    (missing,) = missing_targets(recipe_from(tiny(targets={"rtx": {"backend": "tensorrt-rtx"}}, output=output)))

    assert missing.what == "its engine" and missing.hint == "say what to build for, such as arch: sm89"
    unknown = recipe_from(tiny(targets={"rtx": {"backend": "tensorrt-rtx", "arch": "sm90"}}, output=output))
    with pytest.raises(UsageError, match=r"does not support sm90 \(Hopper\) GPUs"):
        require_targets(unknown, lambda event: None)


class Doubling(torch.nn.Module):
    """Something that can be computed wrongly."""

    def forward(self, x):
        return 2 * x


def test_a_session_that_computes_something_else_is_not_timed(tmp_path, monkeypatch):
    example = (torch.randn(2, 3),)
    file = export_onnx(Doubling(), example, tmp_path / "model.onnx").path
    write_program(Doubling(), example, file)
    target = BenchTarget("torch", batch=2)
    assert time_in_turns({"it": file}, target, seconds=0.01, rounds=3, seed=Seed()).measurements["it"].rounds == 3

    monkeypatch.setattr(
        "condensa_core.bench.onnxruntime_runner.OnnxRuntimeRunner.outputs",
        lambda self: {"y": self._binding.copy_outputs_to_cpu()[0] * 1.01},
    )

    with pytest.raises(ParityError, match=r"CPUExecutionProvider\) computes something else than model.onnx says"):
        time_in_turns({"it": file}, BenchTarget(batch=2), seconds=0.01, rounds=3, seed=Seed())


def test_a_gate_that_cannot_be_measured_is_not_met_and_keeps_the_run(monkeypatch):
    from condensa_core.flow.gating import _of_cost

    def refused(self, target):
        raise UsageError("OpenVINO cannot load it")

    monkeypatch.setattr(Timer, "comparison", refused)
    recipe = recipe_from(SHIPPING)
    bench = type("Bench", (), {"recipe": recipe})()

    result = _of_cost(bench, recipe.gates[1], Timer.__new__(Timer), torch.nn.Identity(), None, {})

    assert (result.met, result.reason) == (False, "OpenVINO cannot load it")
