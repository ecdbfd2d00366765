from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.errors import UsageError
from condensa_core.export import read_onnx


def linear(weight: TensorProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\xff\xfethis is text", "not an ONNX model"),
        (b"\x08\x0a", "not a valid"),  # parses as a model of IR version 10 without a graph
    ],
)
def test_what_is_no_model_is_refused(content, message, tmp_path):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=message) as caught:
        read_onnx(path)

    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2


def test_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        read_onnx(tmp_path)


def test_weights_in_other_files_are_refused(tmp_path):
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/hostname")
    path = tmp_path / "m.onnx"
    path.write_bytes(linear(weight).SerializeToString())

    with pytest.raises(UsageError, match=r"in other files \(first: w\)"):
        read_onnx(path)


@pytest.mark.parametrize("raw", [True, False])
def test_weight_bytes_count_either_way_of_storing(raw, tmp_path):
    values = np.eye(4, dtype=np.float32)
    weight = (
        numpy_helper.from_array(values, "w")
        if raw
        else helper.make_tensor("w", TensorProto.FLOAT, [4, 4], values.flatten().tolist())
    )
    path = tmp_path / "m.onnx"
    onnx.save(linear(weight), path)

    file = read_onnx(path)

    assert file.weight_bytes == 64
    assert file.inputs[0].shape == ("batch", 4)
    assert file.inputs[0].element == "FLOAT"
