"""The commands that load a model: what they show is what the model is."""

import json
import re
from importlib import metadata

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import describe_machine

NUMPY = pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two ONNX files of one signature; `wide` multiplies by a matrix 64 times as large."""
    folder = tmp_path_factory.mktemp("models")
    draw = NUMPY.random.default_rng(0).standard_normal
    files = {}
    for name, width in (("narrow", 16), ("wide", 1024)):
        first = numpy_helper.from_array(draw((8, width)).astype("float32"), "first")
        second = numpy_helper.from_array(draw((width, 4)).astype("float32"), "second")
        nodes = [helper.make_node("MatMul", ["x", "first"], ["h"]), helper.make_node("MatMul", ["h", "second"], ["y"])]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
            [first, second],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        files[name] = folder / f"{name}.onnx"
        onnx.save(model, files[name])
    return files


def test_a_plan_shows_rules_knobs_and_cost(condensa, good):
    document = json.loads(condensa("plan", "--json", "--quiet", good).out)
    shown = condensa("plan", "--quiet", good)

    assert (document["schema"], document["status"], document["exit_code"]) == ("condensa.plan/1", "ok", 0)
    assert [row["line"] for row in document["rows"]] == [6]
    assert shown.code == 0
    assert shown.err == ""
    assert shown.out.startswith("good  (")
    assert f"{document['rows'][0]['layers']}/{document['model']['layers']}" in shown.out
    assert f"{document['families']} families" in shown.out


def test_a_plan_says_how_long_training_takes_where_it_is_asked(condensa, good, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path / "cache"))

    quick, timed = condensa("plan", "--quiet", good), condensa("plan", "--quiet", "--time", good)

    assert quick.out.splitlines()[-1].strip().startswith("condensa plan --time measures")
    line = next(line for line in timed.out.splitlines() if line.startswith("training"))
    assert re.fullmatch(r"training   reference about .+, each trial about .+; about .+ at most", line)


def test_a_plan_tells_machines_the_warnings_of_the_recipe(condensa, good):
    good.write_text(good.read_text() + "knobs:\n  unused: {range: [0.0, 0.5]}\n")

    document = json.loads(condensa("plan", "--json", "--quiet", good).out)

    assert [(p["code"], p["line"], p["severity"]) for p in document["problems"]] == [("W301", 11, "warning")]


def test_a_recipe_that_does_not_fit_its_model_is_refused_at_its_line(condensa, good):
    good.write_text(good.read_text().replace("match: all", "match: nosuch"))

    answer = condensa("plan", "--quiet", good)

    assert answer.code == 2
    assert f"{good}:6:12: error[" in answer.err
    assert answer.out == ""


def test_inspect_counts_what_the_model_has(condensa):
    document = json.loads(condensa("inspect", "lenet300", "--input", "784", "--classes", "10", "--json").out)

    # 784-300-100-10, weights and biases
    assert document["schema"] == "condensa.inspect/1"
    assert document["parameters"] == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    assert document["macs"] == 784 * 300 + 300 * 100 + 100 * 10
    assert [family["size"] for family in document["families"]] == [300, 100]


def test_inspect_of_a_recipe_shows_every_layer(condensa, good):
    document = json.loads(condensa("inspect", "--json", "--quiet", good).out)
    shown = condensa("inspect", "--quiet", good).out

    assert document["layers"]
    assert all(layer["name"] in shown for layer in document["layers"])


def test_an_unknown_model_is_refused(condensa):
    answer = condensa("inspect", "lenet301")

    assert answer.code == 2
    assert "lenet301" in answer.err and "lenet300" in answer.err


def test_bench_finds_the_narrow_model_faster(condensa, models):
    arguments = ["bench", models["narrow"], "--compare", models["wide"], "--batch", "64", "--seconds", "0.3", "-q"]

    document = json.loads(condensa(*arguments, "--min-speedup", ".5", "--json").out)
    shown = condensa(*arguments, "--min-speedup", "1000000x")

    assert (document["schema"], document["exit_code"], document["reasons"]) == ("condensa.bench/2", 0, [])
    (comparison,) = document["comparisons"]
    assert comparison["ratios"]["narrow.onnx"]["low"] > 1
    verdicts = [(v["gate"], v["name"], v["passed"]) for v in comparison["verdicts"]]
    assert verdicts == [
        ("parity", "wide.onnx", True),
        ("parity", "narrow.onnx", True),
        ("min-speedup", "narrow.onnx", True),
    ]
    assert shown.code == 1
    (failed,) = (line for line in shown.out.splitlines() if line.startswith("FAIL"))
    assert failed.startswith("FAIL  min-speedup: narrow.onnx is ")
    assert failed.endswith(" as fast as wide.onnx, asked at least 1e+06x")


def test_bench_judges_sizes_and_differences_and_measures_throughput_apart(condensa, models):
    arguments = ["bench", models["narrow"], "--compare", models["wide"], "--seconds", "0.1", "-q"]

    document = json.loads(
        condensa(*arguments, "--batch", "1,4", "--max-size", "1kB", "--max-error", "1e-3", "--json").out
    )
    shown = condensa(*arguments, "--scenario", "latency,throughput", "--max-size", "1MiB")

    assert document["exit_code"] == 1
    assert [c["scenario"] for c in document["comparisons"]] == ["throughput", "throughput"]
    assert [c["target"]["batch"] for c in document["comparisons"]] == [1, 4]
    assert [reason.split(":")[0] for reason in document["reasons"]] == ["FAIL  max-error"] * 2
    assert document["reasons"][1].endswith(" (onnxruntime, throughput at batch 4)")
    assert [(v["gate"], v["name"], v["passed"]) for v in document["verdicts"]] == [("max-size", "narrow.onnx", True)]
    assert document["sizes"]["narrow.onnx"]["file"] == models["narrow"].stat().st_size
    assert document["sizes"]["narrow.onnx"]["weights"] == 4 * 16 * (8 + 4)
    assert all(found["ok"] is False for c in document["comparisons"] for found in c["differences"].values())
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert [line.split(", ")[1] for line in lines if line.startswith("onnxruntime ")] == [
        "latency at batch 1", "throughput at batch 1",
    ]  # fmt: skip


def test_bench_says_what_ran_the_files_and_that_a_bound_is_met(condensa, models):
    compared = [
        models["narrow"],
        "--compare",
        models["wide"],
        "--batch",
        "64",
        "--threads",
        "2",
        "--min-speedup",
        "0.1x",
    ]

    answer = condensa("bench", *compared, "--seconds", "0.1", "-q")

    first = answer.out.splitlines()[0]
    (last,) = (line for line in answer.out.splitlines() if "min-speedup" in line)
    version = metadata.version("onnxruntime")
    assert first.startswith(
        f"onnxruntime {version} (CPUExecutionProvider), latency at batch 64, 2 threads, wall time; "
    )
    assert first.endswith(describe_machine().cpu)
    assert answer.code == 0
    assert last.startswith("pass  min-speedup: narrow.onnx is ") and last.endswith("asked at least 0.1x")


@pytest.mark.parametrize("ratio", ["5 x", "x", "fast", "0", "0x", "nan", "inf", "5xx", "1e400", ""])
def test_bench_refuses_a_ratio_that_is_none_in_its_own_words(condensa, models, ratio):
    answer = condensa("bench", models["narrow"], "--compare", models["wide"], f"--min-speedup={ratio}")

    assert answer.code == 2
    assert answer.err.splitlines() == [
        f"error: --min-speedup {ratio} is no ratio",
        "      = help: write how many times as fast, such as 1.5x",
    ]


def test_bench_calls_files_of_one_name_by_as_many_folders_as_it_takes(condensa, models, tmp_path):
    files = [tmp_path / "one" / "best" / "m.onnx", tmp_path / "one" / "reference" / "m.onnx", tmp_path / "m.onnx"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(models["narrow"].read_bytes())

    document = json.loads(condensa("bench", *files[:2], "m.onnx", "--seconds", "0.1", "--json", "-q").out)
    twice = condensa("bench", "m.onnx", "./m.onnx")

    assert list(document["comparisons"][0]["measurements"]) == ["best/m.onnx", "reference/m.onnx", "m.onnx"]
    assert (twice.code, twice.err) == (2, "error: m.onnx is given twice\n")


@pytest.mark.parametrize("flags", [["--min-speedup", "2"], ["--device", "abacus"], ["missing.onnx"]])
def test_bench_refuses_what_cannot_be_measured(condensa, models, flags):
    answer = condensa("bench", models["narrow"], *flags)

    assert answer.code == 2
    assert answer.err.startswith("error: ")
