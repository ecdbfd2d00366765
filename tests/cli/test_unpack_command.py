"""`condensa unpack`: the plain file, never in the place of another, and told to people and machines."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.export import pack_onnx


@pytest.fixture
def packed(tmp_path):
    """A packed file of one binary matrix."""
    weight = np.where(np.random.default_rng(0).random((64, 64)) < 0.5, -0.5, 0.5).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "w.onnx")
    return pack_onnx(tmp_path / "w.onnx", tmp_path / "tiny.packed.onnx").path


def test_it_writes_the_plain_file_beside_the_packed_one(condensa, packed):
    answer = condensa("unpack", packed)

    assert (answer.code, answer.err) == (0, "")
    dense = packed.with_name("tiny.onnx")
    assert str(dense) in answer.out
    (weight,) = onnx.load(dense).graph.initializer
    assert (weight.name, numpy_helper.to_array(weight).dtype) == ("w", np.float32)


def test_an_existing_file_is_kept_unless_forced(condensa, packed):
    target = packed.with_name("other.onnx")
    target.write_bytes(b"mine")

    refused = condensa("unpack", packed, "-o", target)
    kept = target.read_bytes()
    forced = condensa("unpack", packed, "--out", target, "--force")

    assert (refused.code, kept) == (2, b"mine")
    assert "--force" in refused.err
    assert forced.code == 0
    assert target.stat().st_size > 64 * 64 * 4


def test_the_source_is_never_overwritten(condensa, packed):
    before = packed.read_bytes()

    answer = condensa("unpack", packed, "--out", packed, "--force")

    assert answer.code == 2
    assert packed.read_bytes() == before


def test_json(condensa, packed):
    document = json.loads(condensa("unpack", "--json", packed).out)

    assert (document["schema"], document["status"], document["exit_code"]) == ("condensa.unpack/1", "ok", 0)
    assert document["packed_bytes"] == packed.stat().st_size
    assert document["size_bytes"] == packed.with_name("tiny.onnx").stat().st_size
    assert document["ratio"] == pytest.approx(document["size_bytes"] / document["packed_bytes"])


def test_files_that_are_none_or_not_packed_are_refused(condensa, packed):
    plain = packed.with_name("w.onnx")

    assert condensa("unpack", "nowhere.onnx").code == 2
    answer = condensa("unpack", plain)

    assert answer.code == 2
    assert "nothing to unpack" in answer.err
