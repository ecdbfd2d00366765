"""What CI reads: the schema, JUnit, Markdown, exit codes, and baselines that only their own machine is held against."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.report.bench_schema import bench_schema
from condensa_core.report.bench_tables import bench_sections

FAST = ("--seconds", "0.1", "--rounds", "6", "-q")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    def make(name: str, width: int):
        path = tmp_path_factory.mktemp("ci") / f"{name}.onnx"
        draw = np.random.default_rng(0).standard_normal
        weights = [
            numpy_helper.from_array(draw(shape).astype(np.float32), name)
            for name, shape in (("body.fc.weight", (8, width)), ("head.weight", (width, 4)))
        ]
        nodes = [
            helper.make_node("MatMul", ["x", "body.fc.weight"], ["h"], name="first"),
            helper.make_node("MatMul", ["h", "head.weight"], ["y"], name="second"),
        ]
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", s]) for n, s in (("x", 8), ("y", 4))]
        graph = helper.make_graph(nodes, name, ends[:1], ends[1:], weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        return path

    return make


@pytest.fixture(scope="module")
def small(model):
    return model("small_*model*", 16)


@pytest.fixture(scope="module")
def large(model):
    return model("large", 1024)


def test_the_result_is_what_the_published_schema_says(condensa, small, large):
    schema = json.loads(condensa("schema", "bench").out)
    arguments = ["bench", small, "--compare", large, "--layers", "--max-size", "1MiB", "--min-speedup", "0.01", *FAST]

    compared = json.loads(condensa(*arguments, "--json").out)
    swept = json.loads(condensa("bench", small, "--batch", "1,2", "--streams", "2", "--no-memory", *FAST, "--json").out)

    jsonschema.Draft202012Validator.check_schema(schema)
    for document in (compared, swept):
        jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compared | {"colour": "red"}, schema)
    assert compared["comparisons"][0]["memory"]["large.onnx"]["peak_bytes"] > 0
    assert swept["comparisons"][0]["memory"] == {}
    assert [c["target"]["streams"] for c in swept["comparisons"]] == [2, 2]
    assert swept["comparisons"][0]["measurements"]["small_*model*.onnx"]["clock"] == "wall"
    assert compared["comparisons"][0]["measurements"]["small_*model*.onnx"]["clock"] == "processor"


def test_times_of_a_device_are_told_as_such_and_transfers_apart(condensa, small, tmp_path):
    # given what a run on a GPU would have found, in the document of one that was made here
    condensa("bench", small, "--save-baseline", "r.json", "--no-memory", *FAST)
    result = json.loads((tmp_path / "r.json").read_text())
    measured = result["comparisons"][0]["measurements"]["small_*model*.onnx"]
    measured |= {"clock": "device", "cpu_time": False, "transfers": {"upload_s": 1.5e-3, "download_s": 2.5e-5}}

    jsonschema.validate(result, bench_schema())
    latency = bench_sections(result)[0]
    result["comparisons"][0]["scenario"] = "throughput"
    throughput = bench_sections(result)[0]

    assert "1 thread, wall time, ratios of device time;" in latency.heading
    assert "1 thread, device time;" in throughput.heading
    (transfers,) = (table for table in latency.tables if table.title.startswith("transfers"))
    assert transfers.rows == (("small_*model*.onnx", "1", "1.50 ms", "25.0 us"),)


def test_tables_keep_the_order_given_and_say_what_ratios_and_warnings_are_of(condensa, small, large, tmp_path):
    condensa("bench", small, "--compare", large, "--batch", "2,4", "--save-baseline", "r.json", "--no-memory", *FAST)
    result = json.loads((tmp_path / "r.json").read_text())
    for comparison in result["comparisons"]:
        comparison["warnings"] = ["noise"]

    section = bench_sections(result)[0]

    (times, *_) = section.tables
    assert times.title == "ratio: times as fast as large.onnx"
    assert [row[:2] for row in times.rows] == [
        ("large.onnx", "2"), ("large.onnx", "4"), ("small_*model*.onnx", "2"), ("small_*model*.onnx", "4"),
    ]  # fmt: skip
    assert {"warn  batch 2: noise", "warn  batch 4: noise"} <= set(section.lines)


def test_layers_are_called_as_the_modules_whose_weights_they_have(condensa, small, large):
    arguments = ["bench", small, "--compare", large, "--batch", "4096", "--layers", "--no-memory", *FAST]

    document = json.loads(condensa(*arguments, "--json").out)
    shown = condensa(*arguments).out

    layers = {layer["layer"]: layer for layer in document["comparisons"][0]["layers"]}
    assert set(layers) == {"body.fc", "head"}
    head = layers["head"]
    assert set(head["mean_s"]) == {"large.onnx", "small_*model*.onnx"}
    ratio = head["mean_s"]["large.onnx"] / head["mean_s"]["small_*model*.onnx"]
    assert head["ratios"] == {"small_*model*.onnx": pytest.approx(ratio)}
    assert ratio > 1  # 64 times the work
    assert "body.fc" in shown and "MatMul" in shown
    assert "layers at batch 4096, profiled one file after another" in shown


def test_junit_and_markdown_tell_what_failed(condensa, small, large, tmp_path):
    answer = condensa(
        "bench", small, "--compare", large, "--max-size", "1kB", "--max-error", "1e-3", "--no-memory",
        "--junit", "j.xml", "--markdown", "c.md", *FAST,
    )  # fmt: skip

    assert answer.code == 1
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    failed = {case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    assert failed == {"max-error small_*model*.onnx on onnxruntime, latency at batch 1"}
    text = (tmp_path / "c.md").read_text()
    assert text.startswith(
        "### condensa bench: a bound does not hold\n\n- FAIL  max-error: small\\_\\*model\\*.onnx differs"
    )
    assert "\n| model | median | p90 | p99 | ratio | parity | wall/CPU |\n| --- |" in text


def test_a_baseline_bounds_the_speed_on_the_same_machine(condensa, small, tmp_path):
    saved = condensa("bench", small, "--save-baseline", "base.json", *FAST)
    arguments = ["bench", small, "--baseline", "base.json", "--no-memory", "--json", *FAST]

    held = json.loads(condensa(*arguments, "--max-slowdown", "2000%").out)
    missed = condensa(*arguments, "--min-speedup", "1000x")

    assert saved.code == 0
    assert held["exit_code"] == 0
    ratio = held["comparisons"][0]["to_saved"]["small_*model*.onnx"]
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    assert [v["gate"] for v in held["comparisons"][0]["verdicts"]] == ["parity", "max-slowdown"]
    assert missed.code == 1


def test_streams_are_throughput_and_another_condition_than_one(condensa, small, tmp_path):
    asked = ("bench", small, "--batch", "2", *FAST)
    saved = condensa(*asked, "--streams", "2", "--save-baseline", "two.json")
    document = json.loads((tmp_path / "two.json").read_text())

    again = condensa(*asked, "--streams", "2", "--baseline", "two.json", "--no-memory")
    other = condensa(*asked, "--scenario", "throughput", "--baseline", "two.json")

    assert saved.out.splitlines()[0].split(";")[0].endswith("throughput at batch 2, 2 streams of 1 thread, wall time")
    assert document["comparisons"][0]["scenario"] == "throughput"
    assert document["comparisons"][0]["memory"]["small_*model*.onnx"]["peak_bytes"] > 0
    assert again.code == 0
    assert other.code == 2
    assert "the baseline has no throughput with backend onnxruntime, device cpu, batch 2, threads 1" in other.err


def test_the_default_sweep_leaves_a_batch_that_is_given_alone(condensa, small, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8), np.float32))
    asked = ("bench", small, "--scenario", "throughput", "--no-memory", "--json", *FAST)

    answers = [condensa(*asked, *given) for given in (("--inputs", "a.npz"), ("--shape", "x=4x8"))]

    for answer in answers:
        assert [c["target"]["batch"] for c in json.loads(answer.out)["comparisons"]] == [4]


def test_samples_that_are_only_a_guess_are_told(condensa, tmp_path):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [35, 1, 8]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(proto, tmp_path / "steps.onnx")
    asked = ("bench", "steps.onnx", "--no-memory", "--json", *FAST)

    told, sure = (json.loads(condensa(*asked, *given).out)["comparisons"][0] for given in ((), ("--batch", "35")))

    assert "steps.onnx fixes its shapes: 35, its first dimension, is taken for samples" in told["warnings"][0]
    assert not any("first dimension" in warning for warning in sure["warnings"])


def test_a_baseline_from_before_there_were_streams_had_one(condensa, small, tmp_path):
    condensa("bench", small, "--save-baseline", "base.json", "--no-memory", *FAST)
    saved = json.loads((tmp_path / "base.json").read_text())
    del saved["comparisons"][0]["target"]["streams"]
    (tmp_path / "base.json").write_text(json.dumps(saved))

    assert condensa("bench", small, "--baseline", "base.json", "--no-memory", *FAST).code == 0


def test_a_faster_past_is_found_out(condensa, small, tmp_path):
    condensa("bench", small, "--save-baseline", "base.json", *FAST)
    saved = json.loads((tmp_path / "base.json").read_text())
    measured = saved["comparisons"][0]["measurements"]["small_*model*.onnx"]
    measured["round_s"] = [seconds / 100 for seconds in measured["round_s"]]
    (tmp_path / "base.json").write_text(json.dumps(saved))

    answer = condensa("bench", small, "--baseline", "base.json", "--max-slowdown", "50%", "--no-memory", *FAST)

    assert answer.code == 1
    assert "FAIL  max-slowdown: small_*model*.onnx takes at most 1" in answer.out


def test_a_baseline_of_another_machine_is_refused_with_what_differs(condensa, small, tmp_path):
    condensa("bench", small, "--save-baseline", "base.json", "--no-memory", *FAST)
    saved = json.loads((tmp_path / "base.json").read_text())
    saved["machine"]["cpu"] = "Abacus 3"
    saved["machine"]["versions"]["onnxruntime"] = "0.1"
    (tmp_path / "base.json").write_text(json.dumps(saved))

    answer = condensa("bench", small, "--baseline", "base.json", *FAST)

    assert answer.code == 3
    first = answer.err.splitlines()[0]
    assert first.startswith("error: the baseline was measured on another machine: cpu was Abacus 3, here ")
    assert "versions.onnxruntime was 0.1, here " in first
    assert "fingerprint" not in first and "load_average" not in first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--baseline", "missing.json"], "cannot read the baseline missing.json"),
        (["--baseline", "text.json"], "it is not JSON"),
        (["--baseline", "other.json"], "is no baseline of this version"),
        (["--baseline", "base.json", "--batch", "2"], "the baseline has no latency with backend onnxruntime"),
        (["--max-slowdown", "5"], "--max-slowdown 5 is no percentage"),
        (["--max-size", "6"], "--max-size 6 is no size"),
        (["--max-error", "nan"], "--max-error nan is no bound"),
        (["--batch", "0"], "--batch 0 is no number of samples"),
        (["--scenario", "speed"], "no scenario called 'speed'"),
        (["--scenario", "latency", "--batch", "1,2"], "the latency scenario has one batch"),
        (["--scenario", "latency", "--streams", "2"], "the latency scenario has one stream"),
        (["--scenario", "throughput,latency", "--streams", "2"], "the latency scenario has one stream"),
        (["--runtime", "torch", "--streams", "2"], "runtime torch on the cpu is measured in one stream"),
        (["--threads", "100000"], "100000 threads are more than"),
        (["--streams", "100000"], "100000 threads are more than"),
        (["--layers", "--runtime", "openvino"], "--layers needs the runtime onnxruntime"),
        (["--layers", "--device", "cuda"], "--layers reads the profile of ONNX Runtime's CPU provider"),
    ],
)
def test_what_cannot_be_judged_is_refused(condensa, small, tmp_path, arguments, words):
    (tmp_path / "text.json").write_text("speed: high")
    (tmp_path / "other.json").write_text("{}")
    if "base.json" in arguments:
        condensa("bench", small, "--save-baseline", "base.json", "--no-memory", *FAST)

    answer = condensa("bench", small, *arguments, *FAST)

    assert answer.code == 2
    assert words in answer.err


def test_only_known_documents_have_a_schema(condensa):
    assert condensa("schema", "poem").code == 2
    assert json.loads(condensa("schema").out) == json.loads(condensa("schema", "recipe").out)
