"""`condensa bench --engine`: what TensorRT makes of the files, beside their times on another runtime."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import examine
from condensa_core.engines import Batches, Gpu, build_engine
from condensa_core.errors import Interrupted
from condensa_core.flow import benching
from condensa_core.flow.bench_engines import engines_timed
from condensa_core.progress import Advanced, PhaseEnded, PhaseStarted, silent

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")

FAST = ("--seconds", "0.1", "--rounds", "3", "--no-memory", "-q")
WIDTHS = {"small": 32, "large": 128}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """small.onnx and large.onnx, of hidden widths `WIDTHS`, on a machine without a GPU and with an empty cache."""
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("condensa_core.flow.compiling.nvidia_gpus", tuple)
    monkeypatch.setattr("condensa_core.engines.family.nvidia_gpus", tuple)
    for name, width in WIDTHS.items():
        draw = np.random.default_rng(0).standard_normal
        weights = [
            numpy_helper.from_array(draw(shape).astype(np.float32), called)
            for called, shape in (("u", (8, width)), ("v", (width, 4)))
        ]
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", s]) for n, s in (("x", 8), ("y", 4))]
        nodes = [helper.make_node("MatMul", ["x", "u"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])]
        graph = helper.make_graph(nodes, name, ends[:1], ends[1:], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, tmp_path / f"{name}.onnx")
    return tmp_path


def test_engines_stand_beside_the_files_and_are_the_ones_of_the_engine_command(condensa, files):
    asked = ("bench", "small.onnx", "--compare", "large.onnx", "--batch", "4", "--engine", "sm89,8.6", *FAST)

    shown = condensa(*asked)
    document = json.loads(condensa(*asked, "--json").out)
    alone = json.loads(condensa("engine", "small.onnx", "--for", "sm86,sm89", "--batch", "4", "--json").out)

    assert shown.code == 0, shown.err
    jsonschema.validate(document, json.loads(condensa("schema", "bench").out))
    engine = document["engines"]["small.onnx"]
    for fact in ("size_bytes", "weights_bytes", "activation_bytes", "layers", "sha256", "capabilities", "batches"):
        assert engine[fact] == alone[fact], fact
    assert engine["cached"] and alone["cached"]  # by the first call
    assert engine["unmeasured"] == "latency not measured: no NVIDIA driver"
    assert document["engines"]["large.onnx"]["weights_bytes"] >= (8 + 4) * 128 * 4 > engine["weights_bytes"]
    lines = shown.out.splitlines()
    below = next(number for number, line in enumerate(lines) if "weights memory" in line and "activations" in line)
    assert lines[below + 2].split()[0] == "small.onnx"
    assert "fp32 for sm86, sm89, batch 4; latency not measured: no NVIDIA driver" in shown.out
    assert document["comparisons"][0]["ratios"]["small.onnx"]["value"] > 0


@pytest.mark.parametrize(("limit", "code", "word"), [("1GiB", 0, "pass"), ("1kB", 1, "FAIL")])
def test_an_engine_can_be_too_large(condensa, files, limit, code, word):
    answer = condensa("bench", "small.onnx", "--engine", "sm89", "--max-engine-size", limit, *FAST)

    assert answer.code == code
    assert f"{word}  max-engine-size: the engine of small.onnx takes" in answer.out


def test_a_file_that_tensorrt_does_not_take_is_timed_and_fails(condensa, files):
    model = onnx.load(files / "small.onnx")
    model.graph.node.append(helper.make_node("Unique", ["y"], ["found"]))
    model.graph.output.append(helper.make_tensor_value_info("found", TensorProto.FLOAT, ["count"]))
    onnx.save(model, files / "odd.onnx")
    asked = ("bench", "odd.onnx", "small.onnx", "--engine", "sm89", "--max-engine-size", "1GiB", *FAST)

    answer = condensa(*asked, "--junit", "j.xml")
    document = json.loads(condensa(*asked, "--json").out)

    assert answer.code == document["exit_code"] == 1, answer.err
    jsonschema.validate(document, json.loads(condensa("schema", "bench").out))
    assert list(document["engines"]["odd.onnx"]) == ["problem"]
    assert document["engines"]["small.onnx"]["size_bytes"] > 0
    assert document["comparisons"][0]["measurements"].keys() == {"odd.onnx", "small.onnx"}
    assert "FAIL  engine: odd.onnx has none: TensorRT for RTX cannot" in answer.out
    assert "FAIL  max-engine-size: odd.onnx has no engine" in answer.out
    assert "pass  max-engine-size: the engine of small.onnx" in answer.out
    assert [case.find("failure") is None for case in ElementTree.parse(files / "j.xml").iter("testcase")][:3] == [
        False, False, True
    ]  # fmt: skip


def test_an_engine_of_a_sweep_takes_all_of_its_batches(files):
    result = benching.bench([files / "small.onnx"], batches=[4, 1], engines=["sm89"], seconds=0.05, rounds=3)

    assert result["engines"]["small.onnx"]["batches"] == {"min": 1, "opt": 4, "max": 4}


def test_the_engine_that_was_timed_is_found_again(files, monkeypatch):
    # given what the runner of tensorrt-rtx does on a machine with this GPU, before it opens the engine
    monkeypatch.setattr("condensa_core.engines.family.nvidia_gpus", lambda: (Gpu("NVIDIA L4", 89),))
    cache = files / "cache" / "engines"
    run = build_engine(files / "small.onnx", cache_dir=cache, batches=Batches(4, 4, 4))

    found = engines_timed({"s": examine(files / "small.onnx")}, "tensorrt-rtx", [1, 4], silent)

    assert found["s"]["cached"]
    assert found["s"]["sha256"] == run.sha256
    assert found["s"]["unmeasured"] is None


def test_building_is_told_before_timing_and_can_be_stopped(files):
    events = []

    def until_half(event):
        events.append(event)
        if isinstance(event, Advanced) and event.phase == "engine" and event.done >= 50:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        benching.bench([files / "small.onnx"], engines=["sm89"], listener=until_half)

    assert isinstance(events[0], PhaseStarted) and events[0].phase == "engine"
    assert not any(isinstance(event, PhaseEnded) or event.phase == "bench" for event in events)
    assert not list((files / "cache").rglob("*.engine"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "ada"], "'ada' is no compute capability"),
        (["--engine", "sm90"], "does not support sm90 (Hopper)"),
        (["--max-engine-size", "1MiB"], "--max-engine-size needs engines"),
        (["--engine", "sm89", "--max-engine-size", "6"], "--max-engine-size 6 is no size"),
    ],
)
def test_engines_that_cannot_be_are_refused_before_anything_is_timed(condensa, files, arguments, words):
    answer = condensa("bench", "small.onnx", *arguments, *FAST)

    assert (answer.code, answer.out) == (2, "")
    assert words in " ".join(answer.err.split())
