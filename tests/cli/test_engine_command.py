"""`condensa engine`: the compiled file, its facts without a GPU, and the sentence that nothing was timed."""

import hashlib
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.engines import Gpu
from condensa_core.flow import compiling

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A file of one product, on a machine without a GPU, with an empty cache."""
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "nvidia_gpus", tuple)
    monkeypatch.setattr("condensa_core.engines.family.nvidia_gpus", tuple)
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_it_writes_the_engine_beside_the_model_and_says_that_nothing_was_timed(condensa, model):
    answer = condensa("engine", model, "--for", "sm89, 8.6", "--quiet")

    assert (answer.code, answer.err) == (0, "")
    assert model.with_suffix(".engine").stat().st_size > 64 * 64 * 4
    # 64 x 64 numbers of 4 bytes, and what rounds a table of weights up
    assert "fp32 for sm86, sm89; weights memory 16." in answer.out
    assert answer.out.rstrip().endswith("latency not measured: no NVIDIA driver")


def test_the_facts_are_those_of_the_file_and_the_second_time_from_the_cache(condensa, model, tmp_path):
    settings = ("--for", "sm89", "--precision", "fp16", "--batch", "4", "--json")

    first = json.loads(condensa("engine", model, *settings).out)
    second = json.loads(condensa("engine", model, *settings, "-o", tmp_path / "other.engine").out)

    content = (tmp_path / "tiny.engine").read_bytes()
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert first["size_bytes"] == len(content)
    assert first["batches"] == {"min": 4, "opt": 4, "max": 4}
    assert first["weights_bytes"] == pytest.approx(64 * 64 * 2, rel=0.1)
    assert (first["cached"], second["cached"]) == (False, True)
    assert (tmp_path / "other.engine").read_bytes() == content


def test_a_fixed_batch_is_kept_and_no_other_is_promised(condensa, model):
    fixed = onnx.load(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(fixed, model)

    kept = json.loads(condensa("engine", model, "--for", "sm89", "--json").out)
    refused = condensa("engine", model, "--for", "sm89", "--batch", "64", "--force")

    assert kept["batches"] is None
    assert refused.code == 2
    assert "tiny.onnx fixes its shapes (4x64), and is asked for batch 64" in refused.err


def test_an_existing_file_is_kept_unless_forced(condensa, model):
    target = model.with_suffix(".engine")
    target.write_bytes(b"mine")

    refused = condensa("engine", model, "--for", "sm89")
    kept = target.read_bytes()
    forced = condensa("engine", model, "--for", "sm89", "--force")

    assert (refused.code, kept) == (2, b"mine")
    assert "--force" in refused.err
    assert forced.code == 0
    assert target.stat().st_size > 64 * 64 * 4


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--for", "sm90"], 2, "does not support sm90 (Hopper)"),
        (["--for", "ada"], 2, "'ada' is no compute capability"),
        ([], 2, "needs to know what to build for"),
        (["--for", "sm89", "--batch", "1,2"], 2, "--batch 1,2 is neither one size nor three"),
        (["--for", "sm89", "--batch", "8,4,2"], 2, "batches must rise"),
        (["--for", "sm89", "--precision", "int8"], 2, "no quantize nodes"),
    ],
)
def test_what_cannot_be_built_writes_nothing(condensa, model, arguments, code, said):
    answer = condensa("engine", model, *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert said in " ".join(answer.err.split())
    assert not model.with_suffix(".engine").exists()


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [((), "no NVIDIA driver"), ((Gpu("NVIDIA H100", 90),), "the GPU of this machine is sm90")],
)
def test_the_reason_for_no_latency_is_that_of_the_machine(model, monkeypatch, gpus, reason):
    monkeypatch.setattr(compiling, "nvidia_gpus", lambda: gpus)

    result = compiling.engine(model, capabilities=["sm89"])

    assert result["unmeasured"] == f"latency not measured: {reason}"


def test_without_the_package_it_says_what_to_install(condensa, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)

    answer = condensa("engine", model, "--for", "sm89")

    assert answer.code == 3
    assert "TensorRT for RTX is not installed" in answer.err
    assert "'.[tensorrt]'" in answer.err
